import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { watchClock } from "../src/ws/clock.ts";

beforeEach(() => vi.useFakeTimers({ now: 0 }));
afterEach(() => vi.useRealTimers());

it.each([
  ["an hour of sleep", 3_600_000, 1],
  ["a clock that is set back", -600_000, 1],
  ["a busy page", 4_000, 0],
  ["nothing at all", 0, 0],
])("%s is told %s times", (_, leap, times) => {
  let told = 0;
  const stop = watchClock(() => (told += 1));
  vi.advanceTimersByTime(20_000);
  vi.setSystemTime(Date.now() + leap);
  vi.advanceTimersByTime(20_000);
  expect(told).toBe(times);
  stop();
  vi.setSystemTime(Date.now() + 3_600_000);
  vi.advanceTimersByTime(20_000);
  expect(told).toBe(times);
});
