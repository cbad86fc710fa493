import { type ReactNode, useState } from "react";
import { Button } from "../design/Button.tsx";
import { DiffView } from "../design/DiffView.tsx";
import { CheckIcon, UndoIcon } from "../design/icons.tsx";
import { useLoaded } from "../design/loaded.ts";
import { Notice } from "../design/parts.tsx";
import { StateView } from "../design/StateView.tsx";
import { t } from "../i18n/index.ts";
import { toast, toastError } from "../state/toasts.ts";
import { parseDiff } from "../text/diff.ts";
import { FileHead } from "./FileHead.tsx";
import { type Act, type Base, type Content, files, type Part, type Where } from "./calls.ts";

interface ReviewProps {
  where: Where;
  base: Base;
  path: string;
  /** Why the reader may only look. */
  lacking: string | null;
  onBack: () => void;
  onMarked: () => void;
}

const SPLIT = "kaged.changes.split";

/** How a file was before something in it was reverted, and its hash after. */
interface Undo {
  text: string;
  after: string | null;
}

/** One file: each of its hunks is accepted, reverted or taken back, or all of them at once. */
export function Review({ where, base, path, lacking, onBack, onMarked }: ReviewProps): ReactNode {
  const loaded = useLoaded(() => files.change(where, base, path), JSON.stringify([where, base, path]));
  const [split, setSplit] = useState(() => localStorage.getItem(SPLIT) === "1" && window.innerWidth > 860);
  const [busy, setBusy] = useState<string | null>(null);
  const [undo, setUndo] = useState<Undo | null>(null);
  const { retry } = loaded;
  const text = async (): Promise<Content | null> => files.read(where, path).catch(() => null);
  const mark = async (act: Act, part: Part, hunk: number | null): Promise<void> => {
    setBusy(`${act} ${hunk ?? ""}`);
    try {
      const before = act === "revert" ? await text() : null;
      await files.mark(where, base, act, path, part.hash, hunk);
      const after = act === "revert" ? await text() : null;
      setUndo(before?.kind === "text" ? { text: before.text, after: after?.hash ?? null } : null);
      again();
    } catch (error) {
      toastError(error);
      void retry();
    } finally {
      setBusy(null);
    }
  };
  const bringBack = async (it: Undo): Promise<void> => {
    await files.write(where, path, it.text, it.after);
    setUndo(null);
    toast(t("files:undone"));
  };
  const again = (): void => {
    void retry();
    onMarked();
  };
  const back = (it: Undo): ReactNode => (
    <Button small data-testid="undo-revert" onClick={() => void bringBack(it).catch(toastError).finally(again)}>
      <UndoIcon size={14} /> {t("files:undo")}
    </Button>
  );
  return (
    <>
      <FileHead path={path} onBack={onBack}>
        <Button
          small
          look="ghost"
          className="only-wide"
          aria-pressed={split}
          onClick={() => {
            setSplit(!split);
            localStorage.setItem(SPLIT, split ? "0" : "1");
          }}
        >
          {t(split ? "files:inline" : "files:beside")}
        </Button>
      </FileHead>
      {undo === null ? null : <Notice act={back(undo)}>{t("files:reverted")}</Notice>}
      <div className="review" tabIndex={0}>
        <StateView of={loaded}>
          {({ open, staged }) => (
            <>
              {open === null ? null : (
                <PartView
                  part={open}
                  kind="open"
                  title={base === "head" ? t("files:open") : null}
                  acts={base === "head" ? ["accept", "revert"] : ["revert"]}
                  {...{ path, split, busy, lacking, mark }}
                />
              )}
              {staged === null ? null : (
                <PartView
                  part={staged}
                  kind="staged"
                  title={t("files:staged")}
                  acts={["reopen"]}
                  {...{ path, split, busy, lacking, mark }}
                />
              )}
              {open === null && staged === null ? <p className="muted file-none">{t("files:settledWhy")}</p> : null}
            </>
          )}
        </StateView>
      </div>
    </>
  );
}

interface PartProps {
  part: Part;
  kind: "open" | "staged";
  title: string | null;
  acts: readonly Act[];
  path: string;
  split: boolean;
  busy: string | null;
  lacking: string | null;
  mark: (act: Act, part: Part, hunk: number | null) => Promise<void>;
}

function PartView({ part, kind, title, acts, path, split, busy, lacking, mark }: PartProps): ReactNode {
  const buttons = (hunk: number | null): ReactNode =>
    acts.map((act) => (
      <Button
        key={act}
        small
        look={act === "revert" ? "danger" : "plain"}
        disabled={lacking !== null}
        title={lacking ?? undefined}
        busy={busy === `${act} ${hunk ?? ""}`}
        data-testid={hunk === null ? `${act}-file` : `${act}-hunk`}
        onClick={() => void mark(act, part, hunk)}
      >
        {act === "accept" ? <CheckIcon size={14} /> : <UndoIcon size={14} />}
        {t(hunk === null ? `files:whole.${act}` : `files:act.${act}`)}
      </Button>
    ));
  return (
    <section className="review-part" aria-label={title ?? path} data-testid={`part-${kind}`}>
      <div className="review-head">
        <h2 className="grow">{title}</h2>
        {buttons(null)}
      </div>
      {part.hunks.length === 0 ? <p className="muted file-none">{t("files:noHunks")}</p> : null}
      {part.hunks.map((hunk, index) => {
        const [file] = parseDiff(hunk);
        if (file === undefined) return null;
        return (
          <div key={`${part.hash} ${index}`} className="hunk" data-testid="hunk">
            <div className="hunk-head">
              <span className="muted grow ellipsis">{hunk.split("\n", 1)[0]}</span>
              {part.hunks.length > 1 ? buttons(index) : null}
            </div>
            <DiffView file={{ ...file, path }} split={split} />
          </div>
        );
      })}
      {part.cut ? <p className="muted file-none">{t("files:cut")}</p> : null}
    </section>
  );
}
