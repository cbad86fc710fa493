const TICK_MS = 5_000;

/** Timers stand still while a machine sleeps, its clock does not: a leap tells that it slept. */
export function watchClock(leapt: () => void): () => void {
  let last = Date.now();
  const timer = setInterval(() => {
    const now = Date.now();
    if (Math.abs(now - last - TICK_MS) > 3 * TICK_MS) leapt();
    last = now;
  }, TICK_MS);
  return () => clearInterval(timer);
}
