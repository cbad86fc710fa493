const MARK = "kaged.reentered";
const APART_MS = 30_000;
let leaving = false;

/**
 * Loads the page anew, which leads through the sidecar's sign-in and back to the same place. False when that was
 * tried a moment ago and did not help: a page must not reload itself for ever.
 */
export function reenter(now: number = Date.now(), reload: () => void = () => window.location.reload()): boolean {
  if (leaving) return true;
  if (now - Number(sessionStorage.getItem(MARK) ?? 0) < APART_MS) return false;
  leaving = true;
  sessionStorage.setItem(MARK, String(now));
  reload();
  return true;
}
