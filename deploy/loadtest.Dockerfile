# The load generator. Built in the root of the checkout; loadtest.Dockerfile.dockerignore lets its files in.
FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /src
COPY pyproject.toml setup.py MANIFEST.in constraints.txt README.md LICENSE ./
COPY copier ./copier
# Without a compiler: the load generator does not copy.
RUN python -m pip install --no-cache-dir -c constraints.txt '.[bench]' \
    && useradd --create-home --uid 10001 loadtest \
    && install --directory --owner loadtest --group loadtest /results
COPY loadtest /srv/loadtest
USER loadtest
ENV PYTHONPATH=/srv
WORKDIR /results
VOLUME /results
ENTRYPOINT ["python", "-m", "loadtest.run"]
