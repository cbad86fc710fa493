/** The focus never falls out of the page: when what has it is taken away, what stood nearest around it gets it. */
export function keepFocus(): void {
  let path: HTMLElement[] = [];
  const here = (one: HTMLElement): boolean => one.isConnected && !one.matches(":disabled");
  document.addEventListener("focusin", (event) => {
    path = event.composedPath().filter((one) => one instanceof HTMLElement);
  });
  // Left on purpose, e.g. by a press beside every control.
  document.addEventListener("focusout", () => setTimeout(() => {
    if (path[0] !== undefined && here(path[0]) && document.activeElement === document.body) path = [];
  }));
  new MutationObserver(() => {
    if (path.length === 0 || document.activeElement !== document.body) return;
    // What is only disabled for a moment gets the focus back when it is not.
    if (path[0]?.isConnected === true && !here(path[0])) return;
    const around = path.find((one) => here(one) && one.tabIndex >= 0) ?? document.getElementById("main");
    around?.focus({ preventScroll: true });
  }).observe(document.body, { childList: true, subtree: true, attributeFilter: ["disabled"] });
}
