-- What the router saw, by minute (kept for a day) and by hour (kept for a month). An interval of an
-- app without traffic has no row. `step` is the interval's length in seconds; `codes` and `latencies`
-- are JSON: {"H12":1} and [[cell,count],…].
CREATE TABLE traffic (
    app_id    TEXT   NOT NULL,
    step      BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    class_1xx BIGINT NOT NULL,
    class_2xx BIGINT NOT NULL,
    class_3xx BIGINT NOT NULL,
    class_4xx BIGINT NOT NULL,
    class_5xx BIGINT NOT NULL,
    bytes     BIGINT NOT NULL,
    longest   BIGINT NOT NULL,
    codes     TEXT   NOT NULL,
    latencies TEXT   NOT NULL,
    PRIMARY KEY (app_id, step, at)
);
CREATE INDEX traffic_by_age ON traffic (step, at);

-- Each change of what the router must know of an app gives the app the next number: whoever keeps a
-- copy reads only the apps whose number is higher than the highest it has seen. The counter is a row
-- of its own, because the app with the highest number may be destroyed.
CREATE TABLE route_changes (number BIGINT NOT NULL);
INSERT INTO route_changes (number) VALUES (0);
ALTER TABLE apps ADD COLUMN route_change BIGINT NOT NULL DEFAULT 0;
CREATE INDEX apps_by_route_change ON apps (route_change);
