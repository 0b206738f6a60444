"""What a piece of psycopg's work does to a transaction, read from the work itself before it runs.

Note "in doubt it writes": a read that is taken for a write gets a 503 where the request could have been sent on; a
write that is taken for a read may be done twice. So only what plainly reads is a read. A function that is not in
`READING` counts as one that writes. That makes no difference while the transaction is still open: what the function
wrote is undone with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from psycopg import AsyncTransaction, Transaction
from psycopg.sql import Composable

# Quoted text and comments. Of a comment only the beginning, because there may be other comments in it.
_ASIDE = re.compile(
    rb"""(?P<line>--[^\n]*)|(?P<comment>/\*)
    |(?P<value>\b[eE]'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|(?<![\w$])\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
    |(?P<name>"(?:[^"]|"")*")""",
    re.DOTALL | re.VERBOSE,
)
_BRACE = re.compile(rb"/\*|\*/")
_NAME = b"\x01"  # stands for a name in quotes
_UNFINISHED = re.compile(rb"['\"]|/\*|(?<![\w$])\$\w*\$")
_WORD = re.compile(rb"[A-Za-z_]\w*")
# A name after these words is no call: it names the columns of an alias or of a common table expression.
_CALLED = re.compile(rb"(?<![\w\x01])(?P<named>(?:AS|WITH|RECURSIVE)\s+)?(?P<name>\x01|\w+)\s*\(", re.IGNORECASE)
_LONGEST = 10_000  # bytes of a text that is remembered

_READS = frozenset(
    b"SELECT SHOW SET RESET BEGIN START SAVEPOINT RELEASE ROLLBACK ABORT COMMIT END FETCH MOVE CLOSE DECLARE "
    b"LISTEN UNLISTEN DEALLOCATE DISCARD EXPLAIN LOCK VALUES TABLE WITH".split()
)
_QUERIES = frozenset({b"SELECT", b"DECLARE", b"VALUES", b"TABLE", b"WITH", b"EXPLAIN"})
_WRITES = frozenset(b"INSERT UPDATE DELETE MERGE INTO ANALYZE ANALYSE EXECUTE CREATE".split())
_COMMITS = frozenset({b"COMMIT", b"END"})
_ROLLS_BACK = frozenset({b"ROLLBACK", b"ABORT"})
# These may commit by themselves. They do so only outside a transaction block, so they commit only what they have done.
_COMMITS_INSIDE = frozenset({b"CALL", b"DO"})

# Names that stand before a bracket in a query and write nothing: words of SQL, functions that Django's ORM and its
# PostgreSQL fields use, and others that are called often. Nobody misses a value that was taken from a sequence.
READING = frozenset(
    b"""
    all and any array as between by case cast collate cross cube distinct else except exists filter following for from
    group grouping having ilike in inner intersect is join lateral left like limit materialized not null of offset on or
    order outer over overlaps partition recursive right rollup row rows select sets similar some table tablesample then
    union using values when where window with within
    bigint bit char character date decimal float int integer interval numeric real text time timestamp timestamptz
    timetz varbit varchar varying
    abbrev abs acos age akeys any_value array_agg array_append array_cat array_dims array_length array_lower
    array_ndims array_position array_positions array_prepend array_remove array_replace array_reverse array_sample
    array_shuffle array_sort array_to_json array_to_string array_to_tsvector array_upper ascii asin atan atan2 avals
    avg bit_and bit_count bit_length bit_or bit_xor bool_and bool_or broadcast btrim cardinality casefold cbrt ceil
    ceiling char_length character_length chr clock_timestamp coalesce col_description concat concat_ws convert_from
    convert_to corr cos cosd cosh cot count covar_pop covar_samp crc32 cube_distance cume_dist current_database
    current_schema current_schemas current_setting current_timestamp currval date_add date_bin date_part
    date_subtract date_trunc datemultirange daterange decode degrees dense_rank difference digest div dmetaphone
    dmetaphone_alt earth_box earth_distance encode erf erfc every exp extract factorial family first_value floor
    format format_type gamma gcd gen_random_uuid generate_series get_bit get_byte get_current_ts_config greatest
    has_column_privilege has_schema_privilege has_table_privilege hashtext hashtextextended hmac host hostmask
    hstore inet_client_addr inet_merge inet_server_addr initcap int4multirange int4range int8multirange int8range
    isempty isfinite json_agg json_array json_array_elements json_array_elements_text json_array_length
    json_arrayagg json_build_array json_build_object json_each json_each_text json_exists json_extract_path
    json_extract_path_text json_object json_object_agg json_object_keys json_objectagg json_populate_record
    json_populate_recordset json_query json_scalar json_serialize json_strip_nulls json_table json_to_record
    json_to_recordset json_typeof json_value jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text jsonb_exists
    jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_agg jsonb_object_keys
    jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_path_query_tz jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set
    jsonb_set_lax jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof justify_days justify_hours
    justify_interval lag last_value lastval lca lcm lead least left length levenshtein levenshtein_less_equal
    ll_to_earth ln localtimestamp log log10 lower lower_inc lower_inf lpad ltree2text ltrim make_date make_interval
    make_time make_timestamp make_timestamptz masklen max md5 metaphone min min_scale mod mode multirange netmask
    network nextval nlevel normalize now nth_value ntile nullif num_nonnulls num_nulls nummultirange numnode
    numrange obj_description octet_length operator overlay parse_ident percent_rank percentile_cont percentile_disc
    pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
    pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_backend_pid pg_blocking_pids pg_column_size
    pg_conf_load_time pg_current_snapshot pg_current_wal_lsn pg_current_xact_id_if_assigned pg_database_size
    pg_get_constraintdef pg_get_expr pg_get_functiondef pg_get_indexdef pg_get_serial_sequence pg_get_triggerdef
    pg_get_userbyid pg_get_viewdef pg_indexes_size pg_input_error_info pg_input_is_valid pg_is_in_recovery
    pg_last_wal_replay_lsn pg_postmaster_start_time pg_relation_size pg_size_pretty pg_sleep pg_snapshot_xmin
    pg_table_is_visible pg_table_size pg_total_relation_size pg_try_advisory_lock pg_try_advisory_lock_shared
    pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_typeof phraseto_tsquery pi plainto_tsquery
    position power querytree quote_ident quote_literal quote_nullable radians random range_agg range_intersect_agg
    range_merge rank regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace
    regexp_split_to_array regexp_split_to_table regexp_substr regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy repeat replace reverse round row_number row_to_json rpad rtrim scale
    set_bit set_byte set_config set_masklen setweight sha1 sha224 sha256 sha384 sha512 shobj_description show_trgm
    sign similarity sin sinh skeys slice soundex split_part sqrt starts_with statement_timestamp stddev stddev_pop
    stddev_samp strict_word_similarity string_agg string_to_array string_to_table strip strpos subarray subltree
    subpath substr substring sum svals tan tanh text2ltree timezone to_ascii to_bin to_char to_date to_hex to_json
    to_jsonb to_number to_oct to_regclass to_regnamespace to_regproc to_regprocedure to_regrole to_regtype
    to_timestamp to_tsquery to_tsvector transaction_timestamp translate trigram_similarity trigram_word_similarity
    trim trim_array trim_scale trunc ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsmultirange tsrange
    tstzmultirange tstzrange tsvector_to_array txid_current_if_assigned unaccent unistr unnest upper upper_inc
    upper_inf uuid_extract_timestamp uuid_extract_version uuid_generate_v1 uuid_generate_v4 uuidv4 uuidv7 var_pop
    var_samp variance version websearch_to_tsquery width_bucket word_similarity xmlagg xmlconcat xmlelement
    xmlforest xmlparse xmlserialize xpath xpath_exists
    """.split()
)


@dataclass(frozen=True, slots=True)
class Statement:
    """``writes`` may be true where nothing is written, but is never false where something is: see the note "in doubt it
    writes".

    ``commits`` says that the work commits the transaction before it. ``inside`` says that it may commit by itself where
    no transaction is open. ``several`` says that a part of the work may have been done though another part failed.
    ``has_to_run`` says that psycopg keeps its books by this work, so it must be run though its COMMIT is not wanted.
    """

    writes: bool = False
    commits: bool = False
    rolls_back: bool = False
    inside: bool = False
    several: bool = False
    has_to_run: bool = False

    @classmethod
    def of(cls, work: Any) -> Statement:
        """Reads what ``Connection.wait`` is given. Nothing is known of work that psycopg does in C."""
        name, frame = getattr(work, "__name__", ""), getattr(work, "gi_frame", None)
        if name in _BY_NAME:
            return _BY_NAME[name]
        if frame is None:
            return _NOTHING
        values = frame.f_locals
        if name == "_exit_gen":
            return _end_of_block(values)
        if name == "_tpc_finish_gen":
            # What was prepared is not undone by a rollback.
            return _ROLLBACK if values.get("action") == "ROLLBACK" else _FINISH
        text = values.get("query", values.get("statement"))
        return _NOTHING if text is None else _of_text(text)


_NOTHING = Statement()
_ROLLBACK = Statement(rolls_back=True)
_END = Statement(commits=True, has_to_run=True)
_FINISH = Statement(writes=True, commits=True, has_to_run=True)
_UNKNOWN = Statement(writes=True, commits=True, inside=True, several=True)
_BY_NAME = {
    "_commit_gen": Statement(commits=True),
    "_rollback_gen": _ROLLBACK,
    "_tpc_prepare_gen": Statement(commits=True),
}


def _end_of_block(values: Any) -> Statement:
    block = values.get("self")
    if not isinstance(block, (Transaction, AsyncTransaction)):
        return _NOTHING
    if not getattr(block, "_outer_transaction", not block.savepoint_name):
        return _NOTHING
    return _ROLLBACK if values.get("exc_val") is not None or block.force_rollback else _END


def _of_text(text: Any) -> Statement:
    if isinstance(text, Composable):
        text = text.as_bytes(None)
    if isinstance(text, str):
        text = text.encode(errors="replace")
    if not isinstance(text, bytes):
        return _UNKNOWN
    return _remembered(text) if len(text) <= _LONGEST else _read(text)


def _read(text: bytes) -> Statement:
    bare = _without_asides(text)
    if _UNFINISHED.search(bare):
        return _UNKNOWN
    parts = [part for part in bare.split(b";") if _WORD.search(part)]
    if len(parts) == 1:
        return _of_part(parts[0])
    read = [_of_part(part) for part in parts]
    return Statement(
        writes=bool(parts),
        commits=any(part.commits for part in read),
        inside=any(part.inside for part in read),
        several=bool(parts),
    )


_remembered = lru_cache(maxsize=1024)(_read)


def _without_asides(text: bytes) -> bytes:
    kept, place = [], 0
    while found := _ASIDE.search(text, place):
        kept += [text[place : found.start()], b"0" if found["value"] else _NAME if found["name"] else b" "]
        place = _end_of_comment(text, found.end()) if found["comment"] else found.end()
    return b"".join([*kept, text[place:]])


def _end_of_comment(text: bytes, place: int) -> int:
    depth = 1
    while depth and (found := _BRACE.search(text, place)):
        depth += 1 if found[0] == b"/*" else -1
        place = found.end()
    return place if not depth else len(text)


def _of_part(part: bytes) -> Statement:
    words = [word.upper() for word in _WORD.findall(part)]
    word = words[0]
    partly = word in _ROLLS_BACK and b"TO" in words
    return Statement(
        writes=word not in _READS or b"PREPARED" in words or (word in _QUERIES and _may_write(part, words)),
        commits=word in _COMMITS or (word == b"PREPARE" and words[1:2] == [b"TRANSACTION"]),
        rolls_back=word in _ROLLS_BACK and not partly,
        inside=word in _COMMITS_INSIDE,
    )


def _may_write(part: bytes, words: list[bytes]) -> bool:
    if not _WRITES.isdisjoint(_without_locks(words)):
        return True
    # A quoted name may name any function. Before a list of columns it is no call, but it counts as one.
    return any(not found["named"] and not _reads_only(found["name"].lower()) for found in _CALLED.finditer(part))


def _without_locks(words: list[bytes]) -> list[bytes]:
    """FOR UPDATE and FOR NO KEY UPDATE lock rows and write nothing."""
    return [word for before, word in zip([b"", *words], words, strict=False) if before not in (b"FOR", b"KEY")]


def _reads_only(name: bytes) -> bool:
    return name in READING or name.startswith(b"st_") or name.isdigit()
