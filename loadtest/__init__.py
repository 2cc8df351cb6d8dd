"""The load test: Locust drives PostgreSQL as the chat application does, and a verdict says whether it is good enough.

    python -m loadtest.run                      an embedded server, a freshly migrated chat database, the verdict
    locust -f loadtest/locustfile.py            Locust's own page, against DATABASE_URL or PG*

`run` prepares and starts Locust as a process of its own: gevent replaces the standard library's sockets, which asyncio,
and with it the copier, does not survive. `session` is one test within Locust: `users` send requests on the schedule
that `shapes` draws, `recorder` notes what happened in each generator process, `collector` adds these notes up, `audit`
looks for every acknowledged message, `verdict` judges by `slo.toml`.
"""
