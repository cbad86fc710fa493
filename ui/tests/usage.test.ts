import { describe, expect, it } from "vitest";
import type { UsageRow } from "../src/api/types.ts";
import { ceiling, columns, days, grouped, measured, period, total } from "../src/usage/sums.ts";

function row(day: string, project: string, cost: number, more: Partial<UsageRow> = {}): UsageRow {
  return {
    day, project, agent: "primary", provider: "work", model: "large", calls: 1, input_tokens: 10, output_tokens: 5,
    cache_read_tokens: 30, cache_write_tokens: 2, cost, unpriced: 0, estimated: 0, ...more,
  };
}

const ROWS = [row("2026-03-01", "a", 1), row("2026-03-02", "a", 2), row("2026-03-02", "b", 5), row("2026-03-03", "c", 0, { unpriced: 1 })];

describe("adding up", () => {
  it("counts cached tokens as input, and says how many of it were cached", () => {
    expect(total(ROWS)).toEqual({ calls: 4, input: 168, cached: 120, output: 20, cost: 8, unpriced: 1, estimated: 0 });
  });

  it("puts the greatest first, by what is measured", () => {
    expect(grouped(ROWS, "project", "cost").map(([name]) => name)).toEqual(["b", "a", "c"]);
    expect(grouped(ROWS, "project", "tokens").map(([name]) => name)).toEqual(["a", "b", "c"]);
    expect(grouped(ROWS, "model", "cost").map(([name]) => name)).toEqual(["work:large"]);
  });

  it("draws every day of the span, and nothing that is not in the sum", () => {
    const { series, columns: drawn } = columns(ROWS, days("2026-02-28", "2026-03-03"), "project", "cost", 6);
    expect(series).toEqual(["b", "a"]);
    expect(drawn.map(({ parts }) => parts)).toEqual([[0, 0], [0, 1], [5, 2], [0, 0]]);
    const all = drawn.flatMap(({ parts }) => parts).reduce((sum, part) => sum + part, 0);
    expect(all).toBe(measured(total(ROWS), "cost"));
  });

  it("puts what is beyond the most series together", () => {
    const many = Array.from({ length: 9 }, (_, n) => row("2026-03-01", `p${n}`, n + 1));
    const { series, columns: drawn } = columns(many, ["2026-03-01"], "project", "cost", 4);
    expect(series).toEqual(["p8", "p7", "p6", null]);
    expect(drawn[0]?.parts).toEqual([9, 8, 7, 21]);
  });

  it.each([[0, 1], [0.003, 0.005], [7, 10], [21, 25], [100, 100], [101, 200]])("%d fits below %d", (value, top) => {
    expect(ceiling(value)).toBeCloseTo(top, 9);
    expect(ceiling(value)).toBeGreaterThanOrEqual(value);
  });

  it("asks for whole days of the reader", () => {
    const now = new Date(2026, 2, 10, 15, 30);
    const { since, first, last, offset } = period(now, 6);
    expect([first, last]).toEqual(["2026-03-04", "2026-03-10"]);
    expect(new Date(since).getTime()).toBe(new Date(2026, 2, 4).getTime());
    expect(offset).toBe(-now.getTimezoneOffset());
  });
});
