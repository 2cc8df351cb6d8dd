"""Random SQLite databases: the same for the same seed. What SQLite itself refuses is left out."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from copier.plan.names import quote

from .random_values import Cast, Flavour, Stored, column_source, edge

_TYPES = (
    *("", "", "INTEGER", "INT", "BIGINT", "SMALLINT", "TINYINT(1)", "UNSIGNED BIG INT", "TEXT", "TEXT", "CLOB"),
    *("BLOB", "REAL", "DOUBLE PRECISION", "FLOAT", "NUMERIC", "DECIMAL(10,2)", "DECIMAL(5)", "NUMERIC(38, 10)"),
    *("DECIMAL(4,8)", "MONEY", "VARCHAR(5)", "VARCHAR(255)", "NVARCHAR(40)", "CHAR(3)", "CHARACTER VARYING(20)"),
    *("VARCHAR(0)", "VARCHAR(99999999)", "BOOLEAN", "BOOL", "BIT", "DATETIME", "TIMESTAMP", "TIMESTAMPTZ", "DATE"),
    *("TIME", "JSON", "JSONB", "UUID", "GUID", "INET", "VARBINARY(16)", "BYTEA", "STRING", "FLOATING POINT", "POINT"),
    *("CHARINT", "ANY", "xyzzy", "INTERVAL", "ENUM", "SERIAL", "DECIMAL(1000,2)", "DECIMAL(2000,2)", "year"),
    *("TEXT(10)", "int unsigned", "LONG VARCHAR", "BINARY"),
)
_STRICT_TYPES = ("INT", "INTEGER", "REAL", "TEXT", "BLOB", "ANY")
_COLUMNS = (
    *("id", "name", "value", "created_at", "updatedAt", "is_active", "ip", "ip_address", "uuid", "data", "meta"),
    *("price", "Order", "select", "user", "group by", 'a"b', "it's", "sp ace", "ünï", "Ünï", "表", "ctid", "xmin"),
    *("tableoid", "rowid", "oid", "_rowid_", "x" * 70, "é" * 40, "col%s", "ta\tb", "new\nline", "back\\slash", "$1"),
    *("{x}", "1abc", "dot.name", "semi;", "--c", "/*c*/", "emoji🙂", "md5", "expires", "ts", "duration", "[b]", "`t`"),
    *("CamelCase", "camel_case", "_", ""),
)
_TABLES = (
    *("users", "Users2", "order", "Order Details", 'q"uote', "it's", "表", "dot.ted", "x" * 80, "pg_class"),
    *("CamelCase", "a b", "camel_case", "new\nline", "back\\slash", "%s", "$1", "information_schema", "run", "public"),
    *("1", "--", "a;b", "é" * 33),
)
_DEFAULTS = (
    *("0", "1", "-1", "1.5", "1e400", "'x'", "''", "NULL", "CURRENT_TIMESTAMP", "current_date", "CURRENT_TIME"),
    *("TRUE", "false", "(1+2)", "(datetime('now'))", "(hex(randomblob(16)))", "(strftime('%s','now'))", "'it''s'"),
    *('"dq"', "x'00ff'", "'{}'", "(lower(hex(randomblob(4))))", "9223372036854775808", "'2024-01-01'", "(random())"),
    *("(abs(-5))", "'[]'", "-9223372036854775808", "(julianday('now'))", "('a' || 'b')", "(unixepoch())", "(10/4)"),
    *("'true'", "+5", "bareword", "'back\\slash'", "0x1F"),
)
_GENERATED = (
    *("{a} || 'x'", "length({a})", "{a} + 1", "upper({a})", "coalesce({a}, 0)", "{a} IS NULL", "substr({a}, 1, 3)"),
    *("{a} * 2", "typeof({a})", "CAST({a} AS INTEGER)", "{a} > 5", "round({a}, 1)", "hex({a})", "{a} / 2", "{a} % 7"),
    *("trim({a})", "instr({a}, 'a')", "{a} = {b}", "CASE WHEN {a} THEN 'y' ELSE 'n' END", "{a} || {b}", "-{a}"),
    *("{a} AND {b}", "{a} LIKE 'a%'", "ifnull({a}, {b})", "CAST({a} AS TEXT)", "CAST({a} AS REAL)"),
    *("replace({a}, 'a', 'b')", "{a} IN (1, 'a')", "{a} & 3", "NOT {a}", "substr({a}, -2)", "lower({a})", "{a} < {b}"),
    *("min({a}, {b})", "max({a}, 0)", "{a} IS {b}", "quote({a})", "{a} || 1", "{a} GLOB 'a*'", "unicode({a})"),
    *("ltrim({a}, 'a')", "nullif({a}, 0)", "{a} BETWEEN 0 AND 9", "iif({a}, 1, 2)", "date({a})"),
)
_CHECKS = (
    *("length({a}) < 10000", "{a} IS NOT NULL OR 1", "typeof({a}) <> 'nothing'", "{a} > -5", "{a} IN (0, 1)"),
    *("{a} LIKE '%'", "{a} >= {b}", "{a} GLOB '*'", "{a} <> ''", "{a} NOT NULL", "{a} = 0 OR {a} = 1"),
    *("{a} || 'x' <> 'x'", "CAST({a} AS INT) >= 0"),
)
_PREDICATES = (
    *("{a} IS NOT NULL", "{a} > 5", "{a} = 'a'", "{a} = 1", "{a}", "NOT {a}", "{a} <> ''", "{a} IS NULL"),
    *("length({a}) > 2", "{a} LIKE 'a%'", "{a} = {b}", "{a} < 'b'", "{a} IN (1, 2)", "{a} >= 0 AND {b} IS NULL"),
    "typeof({a}) = 'text'",
)
_TERMS = (
    *("{a}", "{a}", "{a}", "{a} DESC", "{a} COLLATE NOCASE", "lower({a})", "{a} || {b}", "length({a})"),
    *("coalesce({a}, '')", "{a} + 1", "substr({a}, 1, 2)", "upper({a}) DESC", "CAST({a} AS TEXT)"),
    *("{a} COLLATE RTRIM", "{a} > 5"),
)
_VIEWS = (
    *("SELECT * FROM {t}", "SELECT {a} AS x, count(*) AS n FROM {t} GROUP BY {a}", "SELECT {a} FROM {t} WHERE {p}"),
    *("SELECT DISTINCT {a}, {b} FROM {t}", "SELECT max({a}) AS m, sum({b}) AS s FROM {t}"),
    *("SELECT {a} FROM {t} UNION SELECT {b} FROM {t}", "SELECT x.{a} FROM {t} AS x JOIN {t} AS y ON x.{a} = y.{b}"),
    *("SELECT {a} FROM {t} ORDER BY {b} LIMIT 2", "SELECT rowid FROM {t}"),
    *("SELECT {a} FROM {t} WHERE {a} IN (SELECT {b} FROM {t})", "SELECT count({a}) AS c FROM {t} HAVING count(*) > 1"),
)
_TRIGGERS = (
    "AFTER UPDATE ON {t} BEGIN UPDATE {t} SET {a} = CURRENT_TIMESTAMP WHERE rowid = NEW.rowid; END",
    "BEFORE INSERT ON {t} WHEN NEW.{a} = 0 BEGIN SELECT RAISE(ABORT, 'no'); END",
)


@dataclass(slots=True)
class _Table:
    name: str
    columns: list[str]
    sources: list[Flavour]
    stored: list[str]
    """Columns that rows are inserted into: not the generated ones."""
    sql: str
    rowid_alias: bool


class Maker:
    """Makes one database."""

    def __init__(self, seed: int) -> None:
        self._r = random.Random(seed)
        self._tables: list[_Table] = []

    def build(self, path: Path) -> Path:
        """Write the file and return its path."""
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA encoding = '{self._r.choice(('UTF-8',) * 8 + ('UTF-16le', 'UTF-16be'))}'")
            db.execute(f"PRAGMA page_size = {self._r.choice((4096, 4096, 512, 65536))}")
            db.execute(f"PRAGMA journal_mode = {self._r.choice(('delete', 'wal'))}")
            db.execute(f"PRAGMA ignore_check_constraints = {self._chance(0.3):d}")
            for name in self._r.sample(_TABLES, self._r.randint(1, 4)):
                self._add_table(db, name)
            for table in self._tables:
                self._add_programs(db, table)
        return path

    def _chance(self, share: float) -> bool:
        return self._r.random() < share

    def _add_table(self, db: sqlite3.Connection, name: str) -> None:
        while True:
            table = self._table(name)
            with suppress(sqlite3.Error):
                db.execute(table.sql)
                break
        self._tables.append(table)
        db.execute("BEGIN")
        for row in self._rows(table):
            marks = ", ".join("CAST(? AS TEXT)" if isinstance(value, Cast) else "?" for value in row)
            values = [value.raw if isinstance(value, Cast) else value for value in row]
            names = ", ".join(map(quote, table.stored))
            with suppress(sqlite3.IntegrityError, sqlite3.OperationalError):
                db.execute(f"INSERT INTO {quote(name)} ({names}) VALUES ({marks})", values)
        db.execute("COMMIT")

    def _rows(self, table: _Table) -> Iterator[list[Stored]]:
        count = self._r.choice((0, 1, 3, 10, 30, 30, 150, 400))
        for number in range(count):
            row = [source(self._r) for source in table.sources]
            if table.rowid_alias:
                row[0] = edge(self._r) if self._chance(0.05) else number + 1
            yield row

    def _table(self, name: str) -> _Table:
        r = self._r
        strict, without_rowid = self._chance(0.15), self._chance(0.2)
        columns = self._column_names()
        alias = not without_rowid and self._chance(0.4)
        lines, stored = [], []
        for place, column in enumerate(columns):
            declared = r.choice(_STRICT_TYPES) if strict else r.choice(_TYPES)
            if place == 0 and alias:
                lines.append(f"{quote(column)} INTEGER PRIMARY KEY{r.choice(('', ' AUTOINCREMENT'))}")
            elif place > 0 and self._chance(0.12):
                lines.append(f"{quote(column)} {declared} {self._generated(columns[:place])}")
                continue
            else:
                lines.append(f"{quote(column)} {declared}{self._constraints(columns, column)}")
            stored.append(column)
        lines += self._table_constraints(name, columns, stored, alias, without_rowid)
        options = ", ".join(word for word, wanted in (("STRICT", strict), ("WITHOUT ROWID", without_rowid)) if wanted)
        sql = f"CREATE TABLE {quote(name)} ({', '.join(lines)}) {options}"
        return _Table(name, columns, [column_source(r) for _ in stored], stored, sql, alias)

    def _column_names(self) -> list[str]:
        names: dict[str, str] = {}
        for name in self._r.sample(_COLUMNS, self._r.randint(1, 8)):
            names.setdefault(name.lower(), name)
        return list(names.values())

    def _constraints(self, columns: list[str], column: str) -> str:
        r, parts = self._r, []
        if self._chance(0.15):
            parts.append("NOT NULL")
        if self._chance(0.3):
            parts.append(f"DEFAULT {r.choice(_DEFAULTS)}")
        if self._chance(0.1):
            parts.append("UNIQUE")
        if self._chance(0.15):
            parts.append(f"COLLATE {r.choice(('NOCASE', 'RTRIM', 'BINARY'))}")
        if self._chance(0.1):
            parts.append(f"CHECK ({self._filled(_CHECKS, columns, column)})")
        return "".join(f" {part}" for part in parts)

    def _generated(self, before: list[str]) -> str:
        return f"GENERATED ALWAYS AS ({self._filled(_GENERATED, before)}) {self._r.choice(('STORED', 'VIRTUAL'))}"

    def _table_constraints(
        self, name: str, columns: list[str], stored: list[str], alias: bool, without_rowid: bool
    ) -> Iterator[str]:
        r = self._r
        if without_rowid or (not alias and self._chance(0.3)):
            chosen = r.sample(stored, min(len(stored), r.choice((1, 1, 2, 3))))
            ways = ("", "", " DESC", " COLLATE NOCASE")
            yield f"PRIMARY KEY ({', '.join(quote(c) + r.choice(ways) for c in chosen)})"
        if self._chance(0.15):
            yield f"UNIQUE ({', '.join(map(quote, r.sample(columns, min(2, len(columns)))))})"
        if self._chance(0.2):
            yield f"CONSTRAINT c_{r.randint(1, 3)} CHECK ({self._filled(_CHECKS, columns)})"
        if self._chance(0.35):
            yield self._foreign_key(name, columns)

    def _foreign_key(self, name: str, columns: list[str]) -> str:
        r = self._r
        earlier = [(table.name, table.columns) for table in self._tables]
        parent, theirs = r.choice([(name, columns), *earlier, ("missing", ["id"])])
        width = r.choice((1, 1, min(2, len(columns), len(theirs))))
        mine = ", ".join(map(quote, r.sample(columns, width)))
        named = f" ({', '.join(map(quote, r.sample(theirs, width)))})" if self._chance(0.7) else ""
        action = r.choice(("", " ON DELETE CASCADE", " ON UPDATE SET NULL", " DEFERRABLE INITIALLY DEFERRED"))
        return f"FOREIGN KEY ({mine}) REFERENCES {quote(parent)}{named}{action}"

    def _filled(self, forms: tuple[str, ...], columns: list[str], first: str | None = None) -> str:
        a, b = first or self._r.choice(columns), self._r.choice(columns)
        return self._r.choice(forms).replace("{a}", quote(a)).replace("{b}", quote(b))

    def _add_programs(self, db: sqlite3.Connection, table: _Table) -> None:
        r = self._r
        for number in range(r.choice((0, 0, 1, 2, 3))):
            terms = ", ".join(self._filled(_TERMS, table.columns) for _ in range(r.choice((1, 1, 2))))
            where = f" WHERE {self._filled(_PREDICATES, table.columns)}" if self._chance(0.3) else ""
            unique = r.choice(("", "", "UNIQUE "))
            name = quote(
                r.choice((f"ix_{table.name}_{number}", f"IX {number} {table.name}", f"{table.name}_pkey", "i" * 70))
            )
            with suppress(sqlite3.Error):
                db.execute(f"CREATE {unique}INDEX {name} ON {quote(table.name)} ({terms}){where}")
        if self._chance(0.3):
            self._program(db, table, f"VIEW {quote(f'v_{table.name}')} AS {r.choice(_VIEWS)}")
        if self._chance(0.1):
            self._program(db, table, f"TRIGGER {quote(f'tr {table.name}')} {r.choice(_TRIGGERS)}")

    def _program(self, db: sqlite3.Connection, table: _Table, form: str) -> None:
        sql = form.replace("{p}", self._filled(_PREDICATES, table.columns)).replace("{t}", quote(table.name))
        with suppress(sqlite3.Error):
            db.execute(f"CREATE {self._filled((sql,), table.columns)}")
