# Makes a Docker image of this machine's own programs, so that no registry is needed: make.sh SORT IMAGE
#
# It has the programs of the sort, the libraries that they need, and an entrypoint that does what the
# image of that name on Docker Hub does with what Towpath sets. Ends with 3 where there are no such programs.
set -eu
sort=$1 image=$2
here=$(dirname "$0")
context=$(mktemp -d)
trap 'rm -r "$context"' EXIT

# The paths of programs; all have to be there.
programs() {
    for program; do
        command -v "$program" || exit 3
    done
}

case $sort in
redis)
    files=$(programs redis-server)
    words='ENV PATH=/usr/local/bin:/usr/bin'
    ;;
postgres)
    bin=$(ls -d /usr/lib/postgresql/*/bin | sort -V | tail -n 1)
    [ -x "$bin/initdb" ] || exit 3
    home=${bin%/bin}
    files="$bin/postgres $bin/initdb $home/lib/plpgsql.so $home/lib/dict_snowball.so
        /usr/share/postgresql/${home##*/} /usr/share/zoneinfo/UTC /usr/lib/locale/C.utf8"
    words="ENV PATH=$bin:/usr/bin:/bin LANG=C.UTF-8 PGDATA=/var/lib/postgresql/data
        VOLUME /var/lib/postgresql/data
        STOPSIGNAL SIGINT"
    command='"postgres"'
    ;;
mysql)
    files=$(programs mariadbd mariadb mariadb-install-db my_print_defaults)
    share=/usr/share/mysql
    files="$files $(echo $share/*.sql) $share/english $share/charsets"
    words='ENV PATH=/usr/sbin:/usr/bin:/bin
        VOLUME /var/lib/mysql'
    command='"mariadbd", "--skip-name-resolve"'
    ;;
amqp)
    home=$(ls -d /usr/lib/rabbitmq/lib/rabbitmq_server-* | sort -V | tail -n 1)
    [ -x "$home/sbin/rabbitmq-server" ] || exit 3
    files="$home /usr/lib/erlang /usr/lib/locale/C.utf8"
    words="ENV PATH=$home/sbin:/usr/lib/erlang/bin:/usr/bin:/bin LANG=C.UTF-8 HOME=/var/lib/rabbitmq
        VOLUME /var/lib/rabbitmq"
    command='"rabbitmq-server"'
    ;;
esac
if [ -e "$here/$sort.sh" ]; then
    # What entrypoints and start scripts work with, and the accounts.
    files="$files /bin/sh /etc/passwd /etc/group $(programs basename cat chmod chown dirname \
        grep hostname id mkdir readlink rm sed setpriv sleep touch tr uname)"
    cp "$here/$sort.sh" "$context/entrypoint.sh"
    words="COPY entrypoint.sh /
        $words
        ENTRYPOINT [\"/bin/sh\", \"/entrypoint.sh\"]
        CMD [$command]"
fi

# Word splitting is meant below: each is a list of paths.
libraries=$(find -H $files -type f \( -perm -100 -o -name '*.so' \) -exec ldd {} + 2>/dev/null |
    grep -o '/[^ ]* (0x' | cut -d ' ' -f 1 | sort -u)
printf 'FROM scratch\nCOPY files/ /\n%s\n' "$words" >"$context/Dockerfile"
tar -chPf "$context/context.tar" --transform 's,^/,files/,' $files $libraries
(cd "$context" && tar -rf context.tar Dockerfile $(ls entrypoint.sh 2>/dev/null))
docker build --quiet --tag "$image" - <"$context/context.tar"
