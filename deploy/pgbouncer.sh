#!/usr/bin/env bash
# Writes what depends on the environment, and becomes PgBouncer. The pool itself is described by pool.ini.
set -euo pipefail
umask 077

printf '"app" "%s"\n' "${POSTGRES_PASSWORD//\"/\"\"}" >/run/pooler/userlist.txt
{
    printf '[databases]\napp = host=%s port=5432 dbname=app\n\n' "$PRIMARY"
    printf '[pgbouncer]\nlisten_addr = 0.0.0.0\nlisten_port = 6432\nunix_socket_dir =\n'
    printf 'auth_file = /run/pooler/userlist.txt\nstats_users = app\n'
    cat /etc/pgbouncer/pool.ini
} >/run/pooler/pgbouncer.ini
exec pgbouncer /run/pooler/pgbouncer.ini
