SELECT
  "t13"."bucket",
  "t13"."customer_id",
  "t13"."behaviour",
  "t13"."n",
  "t13"."first_on",
  "t13"."last_on",
  "t13"."log_gap_sum",
  "t13"."log_gap_square_sum",
  "t13"."first_gap_days",
  "t13"."month_01",
  "t13"."month_02",
  "t13"."month_03",
  "t13"."month_04",
  "t13"."month_05",
  "t13"."month_06",
  "t13"."month_07",
  "t13"."month_08",
  "t13"."month_09",
  "t13"."month_10",
  "t13"."month_11",
  "t13"."month_12"
FROM (
  SELECT
    COALESCE("t2"."bucket", "t12"."new_bucket") AS "bucket",
    COALESCE("t2"."customer_id", "t12"."new_customer_id") AS "customer_id",
    COALESCE("t2"."behaviour", "t12"."new_behaviour") AS "behaviour",
    COALESCE("t2"."first_on", "t12"."new_first_on") AS "first_on",
    COALESCE("t12"."new_last_on", "t2"."last_on") AS "last_on",
    COALESCE(
      NULLIF("t2"."first_gap_days", 0),
      DATE_DIFF('DAY', COALESCE("t2"."first_on", "t12"."new_first_on"), "t12"."new_next_on"),
      0
    ) AS "first_gap_days",
    COALESCE("t2"."n", 0) + COALESCE("t12"."new_n", 0) AS "n",
    COALESCE("t2"."log_gap_sum", 0) + COALESCE("t12"."new_log_gap_sum", 0) AS "log_gap_sum",
    COALESCE("t2"."log_gap_square_sum", 0) + COALESCE("t12"."new_log_gap_square_sum", 0) AS "log_gap_square_sum",
    COALESCE("t2"."month_01", 0) + COALESCE("t12"."new_month_01", 0) AS "month_01",
    COALESCE("t2"."month_02", 0) + COALESCE("t12"."new_month_02", 0) AS "month_02",
    COALESCE("t2"."month_03", 0) + COALESCE("t12"."new_month_03", 0) AS "month_03",
    COALESCE("t2"."month_04", 0) + COALESCE("t12"."new_month_04", 0) AS "month_04",
    COALESCE("t2"."month_05", 0) + COALESCE("t12"."new_month_05", 0) AS "month_05",
    COALESCE("t2"."month_06", 0) + COALESCE("t12"."new_month_06", 0) AS "month_06",
    COALESCE("t2"."month_07", 0) + COALESCE("t12"."new_month_07", 0) AS "month_07",
    COALESCE("t2"."month_08", 0) + COALESCE("t12"."new_month_08", 0) AS "month_08",
    COALESCE("t2"."month_09", 0) + COALESCE("t12"."new_month_09", 0) AS "month_09",
    COALESCE("t2"."month_10", 0) + COALESCE("t12"."new_month_10", 0) AS "month_10",
    COALESCE("t2"."month_11", 0) + COALESCE("t12"."new_month_11", 0) AS "month_11",
    COALESCE("t2"."month_12", 0) + COALESCE("t12"."new_month_12", 0) AS "month_12"
  FROM "prior" AS "t2"
  FULL OUTER JOIN (
    SELECT
      "t10"."bucket" AS "new_bucket",
      "t10"."customer_id" AS "new_customer_id",
      "t10"."behaviour" AS "new_behaviour",
      "t10"."n" AS "new_n",
      "t10"."first_on" AS "new_first_on",
      "t10"."last_on" AS "new_last_on",
      "t10"."log_gap_sum" AS "new_log_gap_sum",
      "t10"."log_gap_square_sum" AS "new_log_gap_square_sum",
      "t10"."next_on" AS "new_next_on",
      "t10"."month_01" AS "new_month_01",
      "t10"."month_02" AS "new_month_02",
      "t10"."month_03" AS "new_month_03",
      "t10"."month_04" AS "new_month_04",
      "t10"."month_05" AS "new_month_05",
      "t10"."month_06" AS "new_month_06",
      "t10"."month_07" AS "new_month_07",
      "t10"."month_08" AS "new_month_08",
      "t10"."month_09" AS "new_month_09",
      "t10"."month_10" AS "new_month_10",
      "t10"."month_11" AS "new_month_11",
      "t10"."month_12" AS "new_month_12"
    FROM (
      SELECT
        "t9"."bucket",
        "t9"."customer_id",
        "t9"."behaviour",
        COUNT(*) AS "n",
        MIN("t9"."occurred_on") AS "first_on",
        MAX("t9"."occurred_on") AS "last_on",
        COALESCE(SUM(CAST(ROUND("t9"."log_gap" * 4294967296.0, 0) AS BIGINT)), 0) AS "log_gap_sum",
        COALESCE(SUM(CAST(ROUND("t9"."log_gap" * "t9"."log_gap" * 4294967296.0, 0) AS BIGINT)), 0) AS "log_gap_square_sum",
        MIN("t9"."occurred_on") FILTER(WHERE
          "t9"."log_gap" IS NOT NULL) AS "next_on",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 1) AS "month_01",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 2) AS "month_02",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 3) AS "month_03",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 4) AS "month_04",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 5) AS "month_05",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 6) AS "month_06",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 7) AS "month_07",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 8) AS "month_08",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 9) AS "month_09",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 10) AS "month_10",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 11) AS "month_11",
        COUNT(*) FILTER(WHERE
          EXTRACT(month FROM "t9"."occurred_on") = 12) AS "month_12"
      FROM (
        SELECT
          "t8"."bucket",
          "t8"."customer_id",
          "t8"."behaviour",
          "t8"."occurred_on",
          "t8"."log_gap"
        FROM (
          SELECT
            "t7"."bucket",
            "t7"."customer_id",
            "t7"."behaviour",
            "t7"."occurred_on",
            "t7"."known_on",
            LN(
              CAST(DATE_DIFF(
                'DAY',
                COALESCE(
                  LAG("t7"."occurred_on") OVER (
                    PARTITION BY "t7"."customer_id", "t7"."behaviour"
                    ORDER BY "t7"."occurred_on" ASC
                    ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
                  ),
                  "t7"."known_on"
                ),
                "t7"."occurred_on"
              ) AS DOUBLE)
            ) AS "log_gap"
          FROM (
            SELECT
              "t6"."bucket",
              "t6"."customer_id",
              "t6"."behaviour",
              "t6"."occurred_on",
              "t5"."known_on"
            FROM (
              SELECT DISTINCT
                *
              FROM "events" AS "t1"
            ) AS "t6"
            LEFT OUTER JOIN (
              SELECT
                "t0"."customer_id",
                "t0"."behaviour",
                "t0"."last_on" AS "known_on"
              FROM "prior" AS "t0"
            ) AS "t5"
              ON "t6"."customer_id" = "t5"."customer_id" AND "t6"."behaviour" = "t5"."behaviour"
          ) AS "t7"
        ) AS "t8"
      ) AS "t9"
      GROUP BY
        1,
        2,
        3
    ) AS "t10"
  ) AS "t12"
    ON "t2"."customer_id" = "t12"."new_customer_id"
    AND "t2"."behaviour" = "t12"."new_behaviour"
) AS "t13"
