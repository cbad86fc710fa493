import type { Terminal as Xterm } from "@xterm/xterm";
import { Store } from "../state/store.ts";
import { type Mode, Predictor, type Truth } from "../tty/predict.ts";

const KEPT = "kaged.terminal.echo";

function kept(): Mode {
  const value = localStorage.getItem(KEPT);
  return value === "always" || value === "off" ? value : "auto";
}

/** Whether keys are shown before their echo came; kept in this browser. */
export const echoMode = new Store<Mode>(kept());

export function chooseEcho(mode: Mode): void {
  if (mode === "auto") localStorage.removeItem(KEPT);
  else localStorage.setItem(KEPT, mode);
  echoMode.set(mode);
}

function truthOf(xterm: Xterm): Truth {
  const buffer = xterm.buffer.active;
  const y = buffer.baseY + buffer.cursorY;
  const text = buffer.getLine(y)?.translateToString(false) ?? "";
  // Where a character is wider or narrower than a cell, columns cannot be counted in the text.
  const row = buffer.type === "normal" && text.length === xterm.cols ? text : null;
  return { x: buffer.cursorX, y, cols: xterm.cols, row };
}

/** Guessed keys, drawn above the terminal until the server's output takes their place. */
export class Echo {
  readonly #xterm: Xterm;
  readonly #predictor = new Predictor(echoMode.get());
  readonly #layer = document.createElement("div");
  readonly #stops: (() => void)[];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(xterm: Xterm) {
    this.#xterm = xterm;
    this.#layer.className = "guess";
    this.#layer.ariaHidden = "true";
    this.#layer.hidden = true;
    xterm.element?.querySelector(".xterm-screen")?.append(this.#layer);
    const subscriptions = [xterm.onResize(this.forget), xterm.onScroll(() => this.#draw())];
    this.#stops = [
      ...subscriptions.map((each) => () => each.dispose()),
      echoMode.watch(() => {
        this.#predictor.mode = echoMode.get();
        this.#draw();
      }),
    ];
  }

  typed(data: string): void {
    this.#predictor.typed(data, truthOf(this.#xterm), performance.now());
    this.#draw();
  }

  /** The screen has taken output. */
  drawn(): void {
    this.#predictor.output(truthOf(this.#xterm), performance.now());
    this.#draw();
  }

  reached(roundTrip: number): void {
    this.#predictor.measured(roundTrip);
  }

  readonly forget = (): void => {
    this.#predictor.forget();
    this.#draw();
  };

  dispose(): void {
    clearTimeout(this.#timer);
    for (const stop of this.#stops) stop();
    this.#layer.remove();
  }

  #draw(): void {
    clearTimeout(this.#timer);
    const { deadline, guess } = this.#predictor;
    if (deadline !== null) {
      this.#timer = setTimeout(() => {
        this.#predictor.expire(performance.now());
        this.#draw();
      }, Math.max(0, deadline - performance.now()) + 1);
    }
    const line = guess === null ? -1 : guess.y - this.#xterm.buffer.active.viewportY;
    this.#layer.hidden = guess === null || line < 0 || line >= this.#xterm.rows;
    const screen = this.#layer.parentElement;
    if (guess === null || screen === null || this.#layer.hidden) return;
    const { cols, rows, options } = this.#xterm;
    const width = screen.clientWidth / cols;
    const height = screen.clientHeight / rows;
    const style = this.#layer.style;
    style.transform = `translate(${guess.from * width}px, ${line * height}px)`;
    style.font = `${options.fontSize}px/${height}px ${options.fontFamily}`;
    style.height = `${height}px`;
    // Each character in its own cell: the browser's advance width is not the grid's.
    this.#layer.replaceChildren(
      ...[...guess.text].map((char, index) => {
        const cell = document.createElement("span");
        cell.textContent = char;
        cell.style.width = `${width}px`;
        if (guess.from + index === guess.cursor) cell.className = "guess-cursor";
        return cell;
      }),
    );
  }
}
