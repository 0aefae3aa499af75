# What the image `rabbitmq` with its management does with what Towpath sets, as its documentation says:
# https://hub.docker.com/_/rabbitmq
#
# RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS are read by the server itself.
set -eu
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$HOME" /etc/rabbitmq /var/log/rabbitmq /tmp
    echo '[rabbitmq_management].' >/etc/rabbitmq/enabled_plugins
    printf 'loopback_users.guest = false\nlog.console = true\n' >/etc/rabbitmq/rabbitmq.conf
    chown -R rabbitmq: "$HOME" /etc/rabbitmq /var/log/rabbitmq
    chmod 1777 /tmp
    exec setpriv --reuid rabbitmq --regid rabbitmq --init-groups /bin/sh "$0" "$@"
fi
exec "$@"
