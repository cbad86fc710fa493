let title = "";
let waiting = 0;

function show(): void {
  const words = title === "" ? "kaged" : `${title} · kaged`;
  document.title = waiting > 0 ? `(${waiting}) ${words}` : words;
}

/** What the tab is about; empty for the console itself. */
export function nameTab(words: string): void {
  title = words;
  show();
}

/** How much waits for the reader, in the tab and on the icon of an installed console. */
export function countWaiting(count: number): void {
  waiting = count;
  show();
  // Not every browser has icons to count on, and none without HTTPS.
  if ("setAppBadge" in navigator) navigator.setAppBadge(count).catch(() => {});
}
