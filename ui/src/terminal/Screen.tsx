import "@xterm/xterm/css/xterm.css";
import { FitAddon } from "@xterm/addon-fit";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal as Xterm } from "@xterm/xterm";
import { type ReactNode, useEffect, useRef, useState } from "react";
import type { Terminal } from "../api/types.ts";
import { copyText } from "../design/CopyButton.tsx";
import { t } from "../i18n";
import { shownTheme } from "../state/theme.ts";
import { toast } from "../state/toasts.ts";
import { safeHref } from "../text/links.ts";
import { bytes } from "../text/format.ts";
import { TerminalLink } from "../tty/link.ts";
import { Echo } from "./echo.ts";
import { Find } from "./Find.tsx";
import { KeyBar } from "./KeyBar.tsx";
import { applySticky, type Sticky } from "./keys.ts";
import { terminalTheme } from "./theme.ts";

interface ScreenProps {
  terminal: Terminal;
  /** Why the reader may only look on; null when they may type. */
  readOnly: string | null;
  onExit: (id: string, code: number | null) => void;
  onTitle: (id: string, title: string) => void;
}

type LinkState = "connecting" | "open" | "lost" | "closed";

interface Held {
  xterm: Xterm;
  /** What is typed goes this way: guessed on the screen, and sent. */
  type: (data: string) => void;
}

/** One terminal on the screen: xterm in the console's colours, fed by a link that resumes by offset. */
export function Screen({ terminal, readOnly, onExit, onTitle }: ScreenProps): ReactNode {
  const host = useRef<HTMLDivElement>(null);
  const held = useRef<Held | null>(null);
  const sticky = useRef<Sticky>({ ctrl: false });
  const [ctrl, setCtrl] = useState(false);
  const [state, setState] = useState<LinkState>("connecting");
  const [finding, setFinding] = useState<Xterm | null>(null);
  const { id } = terminal;
  const looksOn = readOnly !== null;

  useEffect(() => {
    const element = host.current;
    if (element === null) return undefined;
    const { xterm, fit, dispose } = makeScreen(element, looksOn);
    const echo = new Echo(xterm);
    const link = new TerminalLink(
      id,
      { cols: xterm.cols, rows: xterm.rows },
      {
        output: (data, done) =>
          xterm.write(data, () => {
            echo.drawn();
            done();
          }),
        cut: (count) => {
          echo.forget();
          xterm.reset();
          xterm.write(`\u001b[2m${t("terminal:cut", { size: bytes(count) })}\u001b[22m\r\n`);
        },
        title: (title) => onTitle(id, title),
        size: (cols, rows) => xterm.resize(cols, rows),
        exit: (code) => onExit(id, code),
        state: (next) => {
          // What was typed into a lost connection is gone.
          if (next !== "open") echo.forget();
          setState(next);
        },
        reached: (roundTrip) => echo.reached(roundTrip),
      },
      looksOn,
    );
    const type = (data: string): void => {
      if (link.input(data)) echo.typed(data);
    };
    held.current = { xterm, type };
    const subscriptions = [
      xterm.onData((data) => {
        type(applySticky(sticky.current, data));
        setCtrl(sticky.current.ctrl);
      }),
      xterm.onResize(({ cols, rows }) => link.resize(cols, rows)),
    ];
    // Whoever types decides the size: coming back to this screen takes it again.
    xterm.textarea?.addEventListener("focus", fit);
    xterm.attachCustomKeyEventHandler((event) => ownKey(event, xterm, () => setFinding(xterm)));
    const observer = new ResizeObserver(() => fit());
    observer.observe(element);
    xterm.focus();
    return () => {
      observer.disconnect();
      for (const subscription of subscriptions) subscription.dispose();
      link.close();
      held.current = null;
      echo.dispose();
      dispose();
    };
  }, [id, looksOn, onExit, onTitle]);

  const type = (data: string): void => {
    held.current?.type(data);
    held.current?.xterm.focus();
  };
  const toggleCtrl = (): void => {
    sticky.current.ctrl = !sticky.current.ctrl;
    setCtrl(sticky.current.ctrl);
    held.current?.xterm.focus();
  };
  const paste = (): void => {
    navigator.clipboard.readText().then(
      (text) => held.current?.xterm.paste(text),
      () => toast(t("terminal:clipboard"), "bad"),
    );
  };

  return (
    <div className="screen">
      {finding === null ? null : (
        <Find
          xterm={finding}
          onClose={() => {
            setFinding(null);
            finding.focus();
          }}
        />
      )}
      <div className="screen-host" ref={host} data-testid="terminal" data-state={state} data-id={id} data-looks-on={looksOn} />
      <ScreenState state={state} terminal={terminal} />
      {readOnly === null ? (
        <KeyBar ctrl={ctrl} onCtrl={toggleCtrl} onType={type} onPaste={paste} />
      ) : (
        <div className="screen-reason" data-testid="terminal-read-only">
          {t("terminal:lookingOn", { reason: readOnly })}
        </div>
      )}
    </div>
  );
}

function ScreenState({ state, terminal }: { state: LinkState; terminal: Terminal }): ReactNode {
  if (terminal.state === "exited" || state === "closed") {
    const code = terminal.exit_code;
    return (
      <div className="screen-state" role="status" data-testid="terminal-exit">
        {code === null ? t("terminal:ended") : t("terminal:endedWith", { code })}
      </div>
    );
  }
  if (state !== "lost") return null;
  return (
    <div className="screen-state" role="status">
      {t("terminal:lost")}
    </div>
  );
}

/** Keys that belong to the console rather than to the program: copy, paste, find. */
function ownKey(event: KeyboardEvent, xterm: Xterm, find: () => void): boolean {
  if (event.type !== "keydown") return true;
  const chord = event.ctrlKey && event.shiftKey && !event.altKey;
  if (chord && event.code === "KeyC") {
    event.preventDefault();
    if (xterm.hasSelection()) void copyText(xterm.getSelection());
    return false;
  }
  // Left to the browser, whose paste needs no permission; the program must not see the key.
  if (chord && event.code === "KeyV") return false;
  if (chord && event.code === "KeyF") {
    event.preventDefault();
    find();
    return false;
  }
  return true;
}

function makeScreen(element: HTMLElement, looksOn: boolean): { xterm: Xterm; fit: () => void; dispose: () => void } {
  const xterm = new Xterm({
    fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    fontSize: 13,
    lineHeight: 1.25,
    cursorBlink: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
    scrollback: 10_000,
    theme: terminalTheme(),
    macOptionIsMeta: true,
    // Reading a long build with a screen reader is slow work: only where one asks for it.
    screenReaderMode: false,
    allowProposedApi: true,
    disableStdin: looksOn,
  });
  const fitAddon = new FitAddon();
  xterm.loadAddon(fitAddon);
  xterm.loadAddon(
    new WebLinksAddon((_event, uri) => {
      const safe = safeHref(uri);
      if (safe !== null) window.open(safe, "_blank", "noopener,noreferrer");
    }),
  );
  xterm.open(element);
  const fit = (): void => {
    // Whoever looks on has the size of those who type.
    if (!looksOn && element.clientWidth > 0 && element.clientHeight > 0) fitAddon.fit();
  };
  fit();
  let gone = false;
  // The font may still be on its way: measure again with the real one.
  void document.fonts.load("13px 'JetBrains Mono'").then(() => {
    if (gone) return;
    xterm.options.fontFamily = `${xterm.options.fontFamily ?? ""} `;
    fit();
  });
  // Phones draw few cells, and take WebGL away from pages in the background.
  if (!window.matchMedia("(pointer: coarse)").matches) void loadWebgl(xterm, () => gone);
  const unwatch = shownTheme.watch(() => {
    xterm.options.theme = terminalTheme();
  });
  return {
    xterm,
    fit,
    dispose: () => {
      gone = true;
      unwatch();
      xterm.dispose();
    },
  };
}

/** The fast renderer where the browser has WebGL; without it, or when the context is lost, the DOM one stays. */
async function loadWebgl(xterm: Xterm, gone: () => boolean): Promise<void> {
  try {
    const { WebglAddon } = await import("@xterm/addon-webgl");
    if (gone()) return;
    const webgl = new WebglAddon();
    webgl.onContextLoss(() => webgl.dispose());
    xterm.loadAddon(webgl);
  } catch {
    // No WebGL here: the DOM renderer is already at work.
  }
}
