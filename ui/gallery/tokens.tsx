import type { ReactNode } from "react";
import { Show } from "./Show.tsx";

const numbered = (name: string, count: number, from = 1): string[] => Array.from({ length: count }, (_, at) => `${name}-${from + at}`);

const COLOURS: Readonly<Record<string, readonly string[]>> = {
  Layers: ["bg", "bg-rail", "surface", "surface-2", "surface-3", "raised", "code-bg"],
  Lines: ["line", "line-strong", "accent-line", "bad-line", "focus"],
  Accent: ["accent", "accent-hover", "accent-soft"],
  Outcomes: ["ok", "ok-soft", "bad", "bad-soft"],
  Series: numbered("chart", 6),
  Terminal: numbered("ansi", 16, 0),
};

export function Colours(): ReactNode {
  return (
    <>
      {Object.entries(COLOURS).map(([name, tokens]) => (
        <Show key={name} name={name} row>
          {tokens.map((token) => (
            <figure key={token} className="swatch">
              <div style={{ background: `var(--${token})` }} />
              <figcaption>{token}</figcaption>
            </figure>
          ))}
        </Show>
      ))}
      <Show name="Text on each layer" row>
        {["bg", "bg-rail", "surface", "surface-2", "raised"].map((layer) => (
          <div key={layer} className="layer" style={{ background: `var(--${layer})` }}>
            {["text", "text-2", "text-3", "accent-text", "ok", "bad"].map((token) => (
              <span key={token} style={{ color: `var(--${token})` }}>
                {token}
              </span>
            ))}
          </div>
        ))}
      </Show>
    </>
  );
}

const SIZES = ["Opening of a page", "Opening of a part", "Title", "Reading", "Controls and lists", "Facts", "Marks"];

export function Type(): ReactNode {
  return (
    <Show name="Scale">
      {SIZES.map((words, at) => (
        <p key={words} className="specimen">
          <code>size-{6 - at}</code>
          <span style={{ fontSize: `var(--size-${6 - at})`, fontWeight: at < 3 ? "var(--strong)" : undefined }}>
            {words} 0123456789
          </span>
          <span className="mono" style={{ fontSize: `var(--size-${6 - at})` }}>
            {"fn() -> 0O1lI"}
          </span>
        </p>
      ))}
    </Show>
  );
}

export function Measures(): ReactNode {
  return (
    <>
      <Show name="Space" row>
        {numbered("space", 8).map((token) => (
          <figure key={token} className="measure">
            <div className="bar" style={{ width: `var(--${token})` }} />
            <figcaption>{token}</figcaption>
          </figure>
        ))}
      </Show>
      <Show name="Radius and elevation" row>
        {numbered("radius", 4).map((token) => (
          <figure key={token} className="measure">
            <div className="corner" style={{ borderRadius: `var(--${token})` }} />
            <figcaption>{token}</figcaption>
          </figure>
        ))}
        {["shadow", "shadow-2"].map((token) => (
          <figure key={token} className="measure">
            <div className="corner" style={{ boxShadow: `var(--${token})`, borderRadius: "var(--radius-3)" }} />
            <figcaption>{token}</figcaption>
          </figure>
        ))}
      </Show>
      <Show name="Motion" row>
        {["fast", "slow"].map((token) => (
          <button key={token} type="button" className="mover" style={{ transitionDuration: `var(--${token})` }}>
            {token}: point here
          </button>
        ))}
      </Show>
    </>
  );
}
