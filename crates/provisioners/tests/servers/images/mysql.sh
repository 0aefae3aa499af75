# What the image `mariadb` does with what Towpath sets, as its documentation says:
# https://hub.docker.com/_/mariadb
set -eu
data=/var/lib/mysql
if [ "$(id -u)" = 0 ]; then
    mkdir -p $data /run/mysqld /tmp
    chown -R mysql: $data /run/mysqld
    chmod 1777 /tmp
    exec setpriv --reuid mysql --regid mysql --init-groups /bin/sh "$0" "$@"
fi
if [ ! -d $data/mysql ]; then
    password=${MARIADB_ROOT_PASSWORD:-${MYSQL_ROOT_PASSWORD:-}}
    : "${password:?MARIADB_ROOT_PASSWORD must be set: the database is uninitialized}"
    mariadb-install-db --datadir=$data --rpm --auth-root-authentication-method=normal \
        --skip-test-db --skip-log-bin
    # Nobody gets in over the network before root has its password.
    "$@" --skip-networking &
    sql() { mariadb --protocol=socket --user=root --database=mysql; }
    until echo 'SELECT 1' | sql >/dev/null 2>&1; do
        sleep 0.1
        kill -0 $!
    done
    sql <<SQL
CREATE USER 'root'@'${MARIADB_ROOT_HOST:-%}' IDENTIFIED BY '$password';
GRANT ALL ON *.* TO 'root'@'${MARIADB_ROOT_HOST:-%}' WITH GRANT OPTION;
ALTER USER 'root'@'localhost' IDENTIFIED BY '$password';
DELETE FROM global_priv WHERE User = 'root' AND Host NOT IN ('localhost', '${MARIADB_ROOT_HOST:-%}');
FLUSH PRIVILEGES;
SQL
    kill $!
    wait $!
fi
exec "$@"
