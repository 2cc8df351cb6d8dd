#!/usr/bin/env bash
# Entry point of both servers. With UPSTREAM and an empty data directory the node becomes a standby of that server:
# a base backup with a slot of its own. Otherwise it is what its data directory says, or a new primary.
set -euo pipefail

if [[ -n ${UPSTREAM:-} ]]; then
    # Outside the volume, so it is written for each new container.
    passfile=/var/lib/postgresql/replication.pass
    (umask 077 && printf '%s:*:*:replicator:%s\n' "$UPSTREAM" "$POSTGRES_PASSWORD" >"$passfile")
    chown postgres:postgres "$passfile"
fi
if [[ -n ${UPSTREAM:-} && ! -s $PGDATA/PG_VERSION ]]; then
    install --directory --owner postgres --group postgres --mode 0700 "$PGDATA"
    until gosu postgres pg_isready --quiet --host "$UPSTREAM"; do sleep 1; done
    gosu postgres pg_basebackup --pgdata "$PGDATA" --wal-method=stream --write-recovery-conf --checkpoint=fast \
        --create-slot --slot="$NODE_NAME" \
        --dbname "host=$UPSTREAM user=replicator passfile=$passfile application_name=$NODE_NAME"
fi
exec docker-entrypoint.sh "$@"
