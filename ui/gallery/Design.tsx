import { type ReactNode, useEffect } from "react";
import { IconButton } from "../src/design/Button.tsx";
import { DarkIcon, LightIcon } from "../src/design/icons.tsx";
import { Logo } from "../src/design/Logo.tsx";
import { Toasts } from "../src/design/Toasts.tsx";
import { useStore } from "../src/state/store.ts";
import { shownTheme, toggleTheme } from "../src/state/theme.ts";
import { Actions, Feedback, Inputs, Structure, Text, Ways } from "./components.tsx";
import "./design.css";
import { Colours, Measures, Type } from "./tokens.tsx";

const PARTS: readonly (readonly [title: string, words: string, part: () => ReactNode])[] = [
  ["Colour", "Graphite carries, amber acts or asks, green and red are outcomes.", Colours],
  ["Type", "Geist for words, JetBrains Mono for what a machine reads. Numbers are tabular.", Type],
  ["Space, shape, motion", "Distance says what belongs together; a box only where a thing stands for itself.", Measures],
  ["Acts", "One primary act a view. What cannot be done says why.", Actions],
  ["Fields", "A label above, a hint below, an error in the place of the hint.", Inputs],
  ["Ways", "Parts of a page, and a choice of a few.", Ways],
  ["Structure", "Lists, trees, panes.", Structure],
  ["Text", "Code and changes.", Text],
  ["States", "Each says what happened, what was kept and what to do.", Feedback],
];

/** Every token and component in every state. Only in builds for developers; so its words are not in the catalogue. */
export function Design(): ReactNode {
  const shown = useStore(shownTheme);
  useEffect(() => {
    document.title = "Design · kaged";
    document.documentElement.dataset["page"] = "design";
  }, []);
  return (
    <>
      <header className="design-head">
        <Logo size={22} />
        <h1>Design</h1>
        <span className="grow" />
        <IconButton label={`Switch to ${shown === "dark" ? "light" : "dark"} colours`} onClick={toggleTheme}>
          {shown === "dark" ? <LightIcon size={16} /> : <DarkIcon size={16} />}
        </IconButton>
      </header>
      <main className="design" data-testid="design">
        {PARTS.map(([title, words, Part]) => (
          <section key={title} className="design-part" aria-label={title}>
            <div className="design-words">
              <h2>{title}</h2>
              <p>{words}</p>
            </div>
            <div className="design-body">
              <Part />
            </div>
          </section>
        ))}
      </main>
      <Toasts />
    </>
  );
}

