import { type ReactNode, useEffect, useState } from "react";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Button } from "../design/Button.tsx";
import { t } from "../i18n/index.ts";
import { useStore } from "../state/store.ts";
import { shownTheme } from "../state/theme.ts";
import type { Drawing } from "./mermaid.ts";

const made = new Map<string, Drawing>();
const KEPT = 100;

/** A Mermaid diagram as an image; its source when asked for, while it is drawn, and beside what is wrong with it. */
export default function Diagram({ text }: { text: string }): ReactNode {
  const dark = useStore(shownTheme) === "dark";
  const key = `${dark} ${text}`;
  const [drawing, setDrawing] = useState(made.get(key) ?? null);
  const [failed, setFailed] = useState("");
  const [source, setSource] = useState(false);
  useEffect(() => {
    let current = true;
    const held = made.get(key);
    if (held !== undefined) {
      setDrawing(held);
      return undefined;
    }
    import("./mermaid.ts")
      .then(({ draw }) => draw(text, dark))
      .then((drawn) => {
        if (made.size >= KEPT) made.delete(made.keys().next().value ?? "");
        made.set(key, drawn);
        if (current) setDrawing(drawn);
      })
      .catch((error: unknown) => {
        if (current) setFailed(error instanceof Error ? error.message : String(error));
      });
    return () => {
      current = false;
    };
  }, [key, text, dark]);
  if (drawing === null || failed !== "") {
    return (
      <div className="md-diagram" data-testid="diagram" data-state={failed === "" ? "drawing" : "failed"}>
        <CodeBlock text={text} language="mermaid" />
        {failed === "" ? null : (
          <p className="md-wrong" role="note">
            {t("words:noDiagram")} <code>{failed.split("\n").slice(0, 4).join("\n")}</code>
          </p>
        )}
      </div>
    );
  }
  return (
    <figure className="md-diagram" data-testid="diagram" data-state="drawn">
      {source ? (
        <CodeBlock text={text} language="mermaid" />
      ) : (
        <img src={drawing.url} width={drawing.width} height={drawing.height} alt={t("words:diagram", { source: text })} />
      )}
      <Button small look="ghost" aria-pressed={source} onClick={() => setSource(!source)}>
        {source ? t("words:showDiagram") : t("words:showSource")}
      </Button>
    </figure>
  );
}
