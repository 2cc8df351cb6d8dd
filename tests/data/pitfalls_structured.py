"""Pitfalls of text that has a form, or seems to: UUIDs, JSON, addresses; and of columns without a type."""

from __future__ import annotations

from .pitfall import PitfallCase, column_case

UUID = "6f1f9c1e-3f0a-4c39-9a52-{:012x}"

STRUCTURED_CASES: tuple[PitfallCase, ...] = (
    column_case("uuid_text", "TEXT", [UUID.format(n) for n in range(50)], "uuid"),
    column_case(
        "uuid_hex",
        "TEXT",
        [UUID.format(n).replace("-", "").upper() for n in range(50)],
        "uuid",
        column="uid_guid",
        probes=[("SELECT uid_guid::text FROM uuid_hex WHERE id = 2", UUID.format(1))],
    ),
    column_case(
        "md5_hex",
        "TEXT",
        [UUID.format(n).replace("-", "") for n in range(50)],
        "text",
        column="content",
        probes=[("SELECT content FROM md5_hex WHERE id = 2", UUID.format(1).replace("-", ""))],
    ),
    column_case("uuid_and_words", "TEXT", [*[UUID.format(n) for n in range(298)], "none", "root"], "text"),
    PitfallCase(
        "uuid_two_spellings",
        (
            "CREATE TABLE uuid_two_spellings (id TEXT PRIMARY KEY, n INTEGER)",
            (
                "INSERT INTO uuid_two_spellings VALUES (?, ?)",
                [(UUID.format(10), 1), (UUID.format(10).upper(), 2), (UUID.format(11), 3)],
            ),
        ),
        {"uuid_two_spellings": (3, 0)},
        {("uuid_two_spellings", "id"): "text"},
    ),
    column_case(
        "json_text",
        "TEXT",
        ['{"b": 1, "a": [true, null]}', "[]", '{"x": 0.1}'] * 10,
        "jsonb",
        probes=[("SELECT v->'a'->>0 FROM json_text WHERE id = 1", "true")],
    ),
    column_case("json_few_bad", "JSON", [*['{"a": 1}'] * 298, "{", "{'a': 1}"], "jsonb", rejected=2),
    column_case("json_and_words", "TEXT", [*['{"a": 1}'] * 70, *["plain"] * 30], "text"),
    column_case("json_scalars", "TEXT", ["1", "2.5", '"three"', "null"] * 5, "text"),
    column_case(
        "json_duplicate_keys",
        "TEXT",
        ['{"a": 1, "a": 2}', '{"b": 1}'] * 10,
        "text|json",
        probes=[("SELECT v::text FROM json_duplicate_keys WHERE id = 1", '{"a": 1, "a": 2}')],
    ),
    column_case(
        "json_nul_escape",
        "TEXT",
        ['{"a": "x\\u0000y"}', '{"b": 1}'] * 10,
        "text|json",
        probes=[("SELECT v::text FROM json_nul_escape WHERE id = 1", '{"a": "x\\u0000y"}')],
    ),
    column_case(
        "json_huge_numbers",
        "TEXT",
        ["[1e200000]", "[1]"] * 10,
        "text|json",
        probes=[("SELECT v::text FROM json_huge_numbers WHERE id = 1", "[1e200000]")],
    ),
    column_case(
        "ip_named",
        "TEXT",
        ["10.0.0.1", "2001:db8::1", "192.168.1.0"] * 10,
        "inet",
        column="ip_address",
        probes=[("SELECT host(ip_address) FROM ip_named WHERE id = 2", "2001:db8::1")],
    ),
    column_case("ip_and_words", "TEXT", [*["10.0.0.1"] * 90, *["unknown"] * 10], "text", column="ip_address"),
    column_case("ip_unnamed", "TEXT", ["10.0.0.1", "10.0.0.2"] * 10, "text", column="version"),
    PitfallCase(
        "untyped",
        (
            "CREATE TABLE untyped (id INTEGER PRIMARY KEY, a, b, c, d, e)",
            (
                "INSERT INTO untyped VALUES (?, ?, ?, ?, ?, ?)",
                [(n, n * 3, f"word {n}", n / 3, bytes((n,)), n if n % 2 else f"odd {n}") for n in range(1, 51)],
            ),
        ),
        {"untyped": (50, 0)},
        {
            ("untyped", "a"): "bigint",
            ("untyped", "b"): "text",
            ("untyped", "c"): "double precision",
            ("untyped", "d"): "bytea",
            ("untyped", "e"): "text",
        },
    ),
)
