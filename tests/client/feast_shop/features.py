"""A Feast repository that says what can be said there; ``registry.bin`` is what Feast makes of it.

Made by Feast 0.67 in a copy of this folder: functions are pickled with the path of their file.
"""

from __future__ import annotations

from datetime import timedelta

from feast import (  # type: ignore[import-not-found,unused-ignore]
    BigQuerySource,
    Entity,
    FeatureService,
    FeatureView,
    Field,
    FileSource,
    KafkaSource,
    PushSource,
    RequestSource,
    StreamFeatureView,
    ValueType,
)
from feast.aggregation import Aggregation  # type: ignore[import-not-found,unused-ignore]
from feast.data_format import JsonFormat  # type: ignore[import-not-found,unused-ignore]
from feast.on_demand_feature_view import (  # type: ignore[import-not-found,unused-ignore]
    on_demand_feature_view,
)
from feast.types import (  # type: ignore[import-not-found,unused-ignore]
    Array,
    Bool,
    Float32,
    Float64,
    Int32,
    Int64,
    String,
    UnixTimestamp,
)

customer = Entity(
    name="customer",
    join_keys=["customer_id"],
    value_type=ValueType.INT64,
    description="Who buys",
    tags={"domain": "sales"},
    owner="growth",
)
merchant = Entity(name="Merchant", join_keys=["merchant_code"])
purchases = FileSource(
    name="purchases",
    path="/data/purchases",
    timestamp_field="purchased_at",
    created_timestamp_column="loaded_at",
    field_mapping={"Amt": "amount"},
    owner="growth",
)
warehouse = BigQuerySource(name="wh", table="p.d.merchants", timestamp_field="ts")
nameless = FileSource(path="s3://bucket/clicks.parquet", timestamp_field="ts")
pushed = PushSource(name="pushed", batch_source=purchases)
events = KafkaSource(
    name="events",
    kafka_bootstrap_servers="kafka:9092",
    topic="events",
    timestamp_field="ts",
    batch_source=purchases,
    message_format=JsonFormat("amount double, ts timestamp"),
)

spend = FeatureView(
    name="customer_spend",
    entities=[customer],
    ttl=timedelta(days=30),
    schema=[
        Field(name="customer_id", dtype=Int64),
        Field(name="amount", dtype=Float64, description="Spent, USD", tags={"pii": "no"}),
        Field(name="visits", dtype=Int32),
        Field(name="embedding", dtype=Array(Float32), vector_index=True, vector_length=8),
        Field(name="labels", dtype=Array(String)),
        Field(name="seen_at", dtype=UnixTimestamp),
        Field(name="isVip", dtype=Bool),
    ],
    source=purchases,
    online=True,
    owner="growth",
    description="What a customer spent",
    tags={"tier": "1"},
)
both = FeatureView(
    name="pairs",
    entities=[customer, merchant],
    schema=[Field(name="score", dtype=Float32)],
    source=warehouse,
    online=False,
)
whole = FeatureView(
    name="clicks", entities=[], schema=[Field(name="n", dtype=Int64)], source=nameless
)
fresh = FeatureView(
    name="fresh",
    entities=[customer],
    ttl=timedelta(seconds=0),
    schema=[Field(name="amount", dtype=Float64)],
    source=pushed,
)
rolling = StreamFeatureView(
    name="rolling",
    entities=[customer],
    ttl=timedelta(days=3),
    mode="spark",
    schema=[Field(name="amount_sum", dtype=Float64)],
    timestamp_field="ts",
    online=True,
    source=events,
    aggregations=[
        Aggregation(column="amount", function="avg", time_window=timedelta(days=1)),
    ],
)


@on_demand_feature_view(
    sources=[spend, RequestSource(name="basket", schema=[Field(name="total", dtype=Float64)])],
    schema=[Field(name="share", dtype=Float64)],
)
def basket_share(inputs):
    return inputs.assign(share=inputs["total"] / inputs["amount"])[["share"]]


churn = FeatureService(
    name="churn",
    features=[
        spend[["amount", "isVip"]],
        both.with_name("other").with_join_key_map({"customer_id": "buyer_id"}),
        basket_share,
    ],
    owner="ds",
    description="Who leaves",
)
only_demand = FeatureService(name="only_demand", features=[basket_share])
