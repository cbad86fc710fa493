import type { ITheme } from "@xterm/xterm";

/** The terminal's colours, read from the tokens as the browser resolves them in the theme that is shown. */
export function terminalTheme(): ITheme {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const token = (name: string): string => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"] as const;
  const theme: Record<string, string> = {
    background: token("code-bg"),
    foreground: token("text"),
    cursor: token("accent"),
    cursorAccent: token("code-bg"),
    selectionBackground: token("accent-line"),
    scrollbarSliderBackground: token("line"),
    scrollbarSliderHoverBackground: token("line-strong"),
    scrollbarSliderActiveBackground: token("line-strong"),
  };
  names.forEach((name, index) => {
    theme[name] = token(`ansi-${index}`);
    theme[`bright${name[0]?.toUpperCase() ?? ""}${name.slice(1)}`] = token(`ansi-${index + 8}`);
  });
  probe.remove();
  return theme;
}
