import type { UsageRow } from "../api/types.ts";

/** Adding up what models used: pure, so that the plots show nothing that the tests do not hold. */

export type Dimension = "project" | "agent" | "model";
export type Measure = "cost" | "tokens";

export interface Sum {
  calls: number;
  input: number;
  cached: number;
  output: number;
  cost: number;
  unpriced: number;
  estimated: number;
}

const NOTHING: Sum = { calls: 0, input: 0, cached: 0, output: 0, cost: 0, unpriced: 0, estimated: 0 };

function add(sum: Sum, row: UsageRow): Sum {
  return {
    calls: sum.calls + row.calls,
    input: sum.input + row.input_tokens + row.cache_read_tokens + row.cache_write_tokens,
    cached: sum.cached + row.cache_read_tokens,
    output: sum.output + row.output_tokens,
    cost: sum.cost + row.cost,
    unpriced: sum.unpriced + row.unpriced,
    estimated: sum.estimated + row.estimated,
  };
}

export function total(rows: readonly UsageRow[]): Sum {
  return rows.reduce(add, NOTHING);
}

function nameOf(row: UsageRow, by: Dimension): string {
  return by === "model" ? `${row.provider}:${row.model}` : row[by];
}

export function measured(sum: Sum, measure: Measure): number {
  return measure === "cost" ? sum.cost : sum.input + sum.output;
}

/** One line for each name, the greatest first. */
export function grouped(rows: readonly UsageRow[], by: Dimension, measure: Measure): [string, Sum][] {
  const sums = new Map<string, Sum>();
  for (const row of rows) sums.set(nameOf(row, by), add(sums.get(nameOf(row, by)) ?? NOTHING, row));
  return [...sums].sort((one, other) => measured(other[1], measure) - measured(one[1], measure) || (one[0] < other[0] ? -1 : 1));
}

/** The days from `first` to `last` (`2026-11-27`), both included. */
export function days(first: string, last: string): string[] {
  const found: string[] = [];
  for (let at = Date.parse(`${first}T00:00:00Z`); at <= Date.parse(`${last}T00:00:00Z`); at += 86_400_000)
    found.push(new Date(at).toISOString().slice(0, 10));
  return found;
}

export interface Column {
  day: string;
  /** A value for each of the series, in their order. */
  parts: number[];
}

/** What the plot draws: at most `most` series by name, all others together in a last one named `null`. */
export function columns(
  rows: readonly UsageRow[], span: readonly string[], by: Dimension, measure: Measure, most: number,
): { series: (string | null)[]; columns: Column[] } {
  const names = grouped(rows, by, measure).filter(([, sum]) => measured(sum, measure) > 0).map(([name]) => name);
  const rest = names.length > most;
  const series: (string | null)[] = rest ? [...names.slice(0, most - 1), null] : names;
  const places = new Map(series.map((name, index) => [name, index]));
  const found = new Map(span.map((day) => [day, series.map(() => 0)]));
  for (const row of rows) {
    const parts = found.get(row.day);
    const place = places.get(nameOf(row, by)) ?? places.get(null);
    if (parts !== undefined && place !== undefined) parts[place] = (parts[place] ?? 0) + measured(add(NOTHING, row), measure);
  }
  return { series, columns: span.map((day) => ({ day, parts: found.get(day) ?? [] })) };
}

/** A round number at or above `value`, for the top of the scale. */
export function ceiling(value: number): number {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return ([1, 2, 2.5, 5, 10].find((step) => step * unit >= value * 0.999) ?? 10) * unit;
}

/** The reader's days as the daemon is asked for them: the first moment of `back` days ago, and minutes off UTC. */
export function period(now: Date, back: number): { since: string; first: string; last: string; offset: number } {
  const offset = -now.getTimezoneOffset();
  const local = (at: Date): string => new Date(at.getTime() + offset * 60_000).toISOString().slice(0, 10);
  const begin = new Date(now.getFullYear(), now.getMonth(), now.getDate() - back);
  return { since: begin.toISOString(), first: local(begin), last: local(now), offset };
}
