import { memo, type ReactNode, useEffect, useMemo, useState } from "react";
import { spansOf } from "../text/spans.ts";
import { t } from "../i18n/index.ts";
import { CopyButton } from "./CopyButton.tsx";

type Highlight = (text: string, language: string) => string | null;

/** Beyond this a block is shown plain: colouring it would hold up the page. */
const HIGHLIGHT_LIMIT = 40_000;

let loaded: Highlight | null = null;
let loading: Promise<Highlight> | null = null;

async function load(): Promise<Highlight> {
  loading ??= import("../text/highlight.ts").then((module) => module.highlight);
  loaded = await loading;
  return loaded;
}

function useHighlight(wanted: boolean): Highlight | null {
  const [highlight, setHighlight] = useState<Highlight | null>(() => loaded);
  useEffect(() => {
    if (!wanted || highlight !== null) return undefined;
    let current = true;
    load().then(
      (ready) => current && setHighlight(() => ready),
      // Without colours the code is still there to read.
      () => {},
    );
    return () => {
      current = false;
    };
  }, [wanted, highlight]);
  return highlight;
}

/** Code in colours where the language is known, plain otherwise. */
export const Code = memo(function Code({ text, language }: { text: string; language: string }): ReactNode {
  const wanted = language !== "" && text.length < HIGHLIGHT_LIMIT;
  const highlight = useHighlight(wanted);
  const spans = useMemo(() => {
    const html = wanted && highlight !== null ? highlight(text, language) : null;
    return html === null ? null : spansOf(html);
  }, [wanted, highlight, text, language]);
  if (spans === null) return <code>{text}</code>;
  return (
    <code>
      {spans.map((span, index) =>
        span.className === "" ? span.text : <span key={index} className={span.className}>{span.text}</span>,
      )}
    </code>
  );
});

export function CodeBlock({ text, language }: { text: string; language: string }): ReactNode {
  const name = language.split(/[\s,{]/, 1)[0]?.toLowerCase() ?? "";
  return (
    <div className="code-block">
      <div className="code-bar">
        <span>{name || t("design:plain_text")}</span>
        <CopyButton text={() => text} label={t("design:copy_code")} />
      </div>
      <pre tabIndex={0}><Code text={text} language={name} /></pre>
    </div>
  );
}
