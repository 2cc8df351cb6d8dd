# PgBouncer from Debian, the release that the staging tests use. pool.ini is mounted.
FROM debian:bookworm-slim
RUN apt-get update -q \
    && apt-get install -q -y --no-install-recommends pgbouncer \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10002 pooler \
    && install --directory --owner pooler --group pooler --mode 0700 /run/pooler
COPY pgbouncer.sh /pgbouncer.sh
USER pooler
EXPOSE 6432
ENTRYPOINT ["bash", "/pgbouncer.sh"]
