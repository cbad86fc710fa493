/** Delay before attempt `n` (from 0), in milliseconds: doubles to a ceiling, with full jitter above a floor. */
export function backoff(attempt: number, random: () => number, ceiling = 15_000): number {
  const base = Math.min(ceiling, 400 * 2 ** Math.min(attempt, 10));
  return Math.round(base / 2 + (random() * base) / 2);
}
