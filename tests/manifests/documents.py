"""What is known of the files that Grafana, Loki, Jaeger and the collectors read, as JSON schemas.

Written down from the documentation of the pinned versions, for these programs cannot be run where this is built: a key
that is none of these, or a value of another kind, is a mistake in the file, or a reason to look there again.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
DURATION: Schema = {"type": "string", "pattern": r"^-?\d+(ms|s|m|h)$"}
PLACE: Schema = {"type": "string", "pattern": r"^(https?://)?[a-z0-9.-]+:\d+(/[a-z]+)?$"}


def keys(required: Schema, **optional: Any) -> Schema:
    """An object with these keys and no others."""
    return {
        "type": "object",
        "properties": {**required, **optional},
        "required": list(required),
        "additionalProperties": False,
    }


def some(value: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": value}


def only(*values: str) -> Schema:
    return {"enum": list(values)}


TLS = keys({"insecure": FLAG})
OTLP_RECEIVER = keys({"protocols": keys({}, http=keys({"endpoint": PLACE}), grpc=keys({"endpoint": PLACE}))})
OPERATOR: Schema = {
    "oneOf": [
        keys({"type": only("container")}, format=only("docker", "crio", "containerd"), add_metadata_from_filepath=FLAG),
        keys({"type": only("filter"), "expr": TEXT}),
        keys({"type": only("json_parser"), "parse_from": TEXT, "parse_to": TEXT}, **{"if": TEXT}),
        keys({"type": only("move"), "from": TEXT, "to": TEXT}, **{"if": TEXT}),
        keys({"type": only("trace_parser"), "trace_id": keys({"parse_from": TEXT})}, **{"if": TEXT}),
    ]
}
RECEIVERS = keys(
    {},
    otlp=OTLP_RECEIVER,
    filelog=keys(
        {"include": some(TEXT), "start_at": only("beginning", "end"), "operators": some(OPERATOR)},
        include_file_path=FLAG,
    ),
)
PROCESSORS = keys(
    {},
    memory_limiter=keys({"check_interval": DURATION, "limit_percentage": WHOLE, "spike_limit_percentage": WHOLE}),
    batch=keys({}, send_batch_size=WHOLE, timeout=DURATION),
)
EXPORTERS = keys(
    {},
    **{
        "otlp/jaeger": keys({"endpoint": PLACE, "tls": TLS}),
        "otlphttp": keys({"endpoint": PLACE}),
        "otlphttp/loki": keys({"endpoint": PLACE}),
        "jaeger_storage_exporter": keys({"trace_storage": TEXT}),
    },
)
BADGER = keys(
    {"directories": keys({"keys": TEXT, "values": TEXT}), "ephemeral": FLAG, "ttl": keys({"spans": DURATION})}
)
EXTENSIONS = keys(
    {},
    health_check=keys({"endpoint": PLACE}),
    healthcheckv2=keys({"use_v2": FLAG, "http": keys({"endpoint": PLACE})}),
    jaeger_storage=keys({"backends": keys({"disk": keys({"badger": BADGER})})}),
    jaeger_query=keys({"storage": keys({"traces": TEXT}), "http": keys({"endpoint": PLACE})}),
)
PIPELINE = keys({"receivers": some(TEXT), "exporters": some(TEXT)}, processors=some(TEXT))
COLLECTOR = keys(
    {
        "service": keys(
            {"pipelines": keys({}, traces=PIPELINE, logs=PIPELINE)},
            extensions=some(TEXT),
            telemetry=keys({"logs": keys({"encoding": only("json", "console")})}),
        ),
        "exporters": EXPORTERS,
    },
    receivers=RECEIVERS,
    processors=PROCESSORS,
    extensions=EXTENSIONS,
)

LOKI = keys(
    {
        "auth_enabled": FLAG,
        "server": keys({"http_listen_port": WHOLE}, log_format=only("json", "logfmt")),
        "common": keys(
            {
                "instance_addr": TEXT,
                "path_prefix": TEXT,
                "replication_factor": WHOLE,
                "storage": keys({"filesystem": keys({"chunks_directory": TEXT, "rules_directory": TEXT})}),
                "ring": keys({"kvstore": keys({"store": only("inmemory")})}),
            }
        ),
        "schema_config": keys(
            {
                "configs": some(
                    keys(
                        {
                            "from": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\d$"},
                            "store": only("tsdb"),
                            "object_store": only("filesystem"),
                            "schema": only("v13"),
                            "index": keys({"prefix": TEXT, "period": only("24h")}),
                        }
                    )
                )
            }
        ),
        "limits_config": keys(
            {"allow_structured_metadata": FLAG, "retention_period": DURATION},
            ingestion_rate_mb=WHOLE,
            ingestion_burst_size_mb=WHOLE,
        ),
        "compactor": keys(
            {"working_directory": TEXT, "retention_enabled": FLAG, "delete_request_store": only("filesystem")}
        ),
    },
    analytics=keys({"reporting_enabled": FLAG}),
)

TRACES_TO_LOGS = keys(
    {"datasourceUid": TEXT, "customQuery": FLAG, "query": TEXT},
    spanStartTimeShift=DURATION,
    spanEndTimeShift=DURATION,
    filterByTraceID=FLAG,
    filterBySpanID=FLAG,
)
DERIVED_FIELD = keys(
    {
        "name": TEXT,
        "matcherRegex": TEXT,
        "datasourceUid": TEXT,
        "url": TEXT,
    },
    matcherType=only("label", "regex"),
    urlDisplayLabel=TEXT,
)
DATA_SOURCE = keys(
    {
        "name": TEXT,
        "uid": TEXT,
        "type": only("prometheus", "alertmanager", "jaeger", "loki"),
        "access": only("proxy"),
        "url": PLACE,
        "jsonData": keys(
            {},
            httpMethod=only("POST"),
            timeInterval=DURATION,
            implementation=only("prometheus"),
            maxLines=WHOLE,
            tracesToLogsV2=TRACES_TO_LOGS,
            derivedFields=some(DERIVED_FIELD),
        ),
    },
    isDefault=FLAG,
    editable=FLAG,
)
DATA_SOURCES = keys({"apiVersion": {"const": 1}, "datasources": some(DATA_SOURCE)}, prune=FLAG)
PROVIDERS = keys(
    {
        "apiVersion": {"const": 1},
        "providers": some(
            keys(
                {"name": TEXT, "type": only("file"), "options": keys({"path": TEXT})},
                folder=TEXT,
                disableDeletion=FLAG,
                allowUiUpdates=FLAG,
            )
        ),
    }
)
