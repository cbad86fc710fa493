import "./files.css";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { json } from "@codemirror/lang-json";
import { markdown } from "@codemirror/lang-markdown";
import { python } from "@codemirror/lang-python";
import { yaml } from "@codemirror/lang-yaml";
import { bracketMatching, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { MergeView, unifiedMergeView } from "@codemirror/merge";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { EditorState, type Extension } from "@codemirror/state";
import { drawSelection, EditorView, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers } from "@codemirror/view";
import { classHighlighter } from "@lezer/highlight";
import { type ReactNode, useEffect, useRef } from "react";
import { useLatest } from "../design/hooks.ts";
import { t } from "../i18n/index.ts";
import { languageOf } from "./tree.ts";

const LANGUAGES: Readonly<Record<string, () => Extension>> = {
  markdown, yaml, python, json, javascript: () => javascript({ jsx: true }), typescript: () => javascript({ jsx: true, typescript: true }),
};

function shared(path: string, text: string, label: string): Extension[] {
  return [
    // As the file has them: else each line of a file from elsewhere would be changed by the first save.
    EditorState.lineSeparator.of(text.includes("\r\n") ? "\r\n" : "\n"),
    lineNumbers(), highlightActiveLineGutter(), highlightActiveLine(), highlightSelectionMatches(), drawSelection(), bracketMatching(),
    history(), search({ top: true }), syntaxHighlighting(classHighlighter), indentUnit.of("  "),
    // After Escape, Tab leaves the editor instead of indenting.
    keymap.of([...searchKeymap, ...historyKeymap, ...defaultKeymap, indentWithTab]),
    EditorState.phrases.of({ "$ unchanged lines": t("files:same"), Accept: t("files:keepMine"), Reject: t("files:keepTheirs"), "Revert this chunk": t("files:keepTheirs") }),
    EditorView.contentAttributes.of({ "aria-label": label, tabindex: "0" }),
    LANGUAGES[languageOf(path)]?.() ?? [],
  ];
}

interface EditorProps {
  path: string;
  text: string;
  line?: number | undefined;
  /** Without it the text is only read. */
  onChange?: ((text: string) => void) | undefined;
  onSave?: (() => void) | undefined;
  /** Where it is one part of a page, the focus stays where the reader has it. */
  calm?: boolean;
}

/** A text with line numbers, search and colours; `text` is taken over whenever it becomes another one. */
export default function Editor({ path, text, line, onChange, onSave, calm = false }: EditorProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView | null>(null);
  const latest = useLatest({ onChange, onSave });
  const editable = onChange !== undefined;
  useEffect(() => {
    const save = { key: "Mod-s", preventDefault: true, run: () => (latest.current.onSave?.(), true) };
    const made = new EditorView({
      doc: text,
      extensions: [
        keymap.of(editable ? [save] : []),
        shared(path, text, t(editable ? "files:editorOf" : "files:textOf", { path })),
        EditorState.readOnly.of(!editable),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) latest.current.onChange?.(update.state.sliceDoc());
        }),
      ],
      ...(place.current === null ? {} : { parent: place.current }),
    });
    view.current = made;
    if (editable && !calm) made.focus();
    const { doc } = made.state;
    const from = line === undefined ? null : doc.line(Math.max(1, Math.min(line, doc.lines))).from;
    // Once it has its place on the page: before that it cannot know how far to scroll.
    const frame = requestAnimationFrame(() => {
      if (from !== null) made.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
    });
    return () => {
      cancelAnimationFrame(frame);
      made.destroy();
    };
    // The text that it begins with; later ones are taken over below.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, [path, editable, line, calm]);
  useEffect(() => {
    const made = view.current;
    if (made !== null && made.state.sliceDoc() !== text)
      made.dispatch({ changes: { from: 0, to: made.state.doc.length, insert: text } });
  }, [text]);
  return <div ref={place} className="file-editor" data-testid="editor" />;
}

/** What both have in common is folded: a conflict in a long file is seen at once. */
const CALM = { margin: 3, minSize: 6 };

interface MergeProps {
  path: string;
  theirs: string;
  mine: string;
  onChange: (text: string) => void;
}

/** Their text and mine: beside each other where there is room, else in one; what is mine can be changed. */
export function Merge({ path, theirs, mine, onChange }: MergeProps): ReactNode {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const parent = place.current;
    if (parent === null) return undefined;
    const told = EditorView.updateListener.of((update) => {
      if (update.docChanged) onChange(update.state.sliceDoc());
    });
    const own = [shared(path, mine, t("files:mine")), told];
    if (window.matchMedia("(max-width: 860px)").matches) {
      const made = new EditorView({ doc: mine, extensions: [own, unifiedMergeView({ original: theirs, collapseUnchanged: CALM })], parent });
      return () => made.destroy();
    }
    const made = new MergeView({
      a: { doc: theirs, extensions: [shared(path, mine, t("files:theirs")), EditorState.readOnly.of(true)] },
      b: { doc: mine, extensions: own },
      revertControls: "a-to-b",
      collapseUnchanged: CALM,
      parent,
    });
    return () => made.destroy();
    // Both are what the conflict began with.
    // oxlint-disable-next-line react-hooks/exhaustive-deps
  }, []);
  return <div ref={place} className="file-merge" data-testid="merge" />;
}
