# sqlite2pg in a container: the tool, its own PostgreSQL (for runs without a target), and pg_dump for rollbacks.
#
#     docker build --tag sqlite2pg .
#     docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" --env DATABASE_URL sqlite2pg full --sqlite app.db
#
# The user must be able to write to the directory of the SQLite file: the backup and the log go beside it, and SQLite
# needs its -shm file there in WAL mode.

FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in constraints.txt README.md LICENSE ./
COPY copier ./copier
# The kernel needs a compiler; the run stage does not.
RUN apt-get update -q && apt-get install -q -y --no-install-recommends gcc libc6-dev
ENV SQLITE2PG_REQUIRE_NATIVE=1
RUN python -m pip wheel --no-cache-dir --wheel-dir /wheels -c constraints.txt '.[embedded]'

FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --create-home --uid 10001 sqlite2pg \
    && install --directory --owner sqlite2pg --group sqlite2pg /data
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    python -m pip install --no-cache-dir --no-index --find-links /wheels 'sqlite2pg[embedded]'
USER sqlite2pg
WORKDIR /data
VOLUME /data
ENTRYPOINT ["sqlite2pg"]
CMD ["--help"]
