import { lazy, type ReactNode, Suspense, useCallback, useEffect, useRef, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { Project } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CheckIcon } from "../design/icons.tsx";
import { Notice, Skeleton } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { overlay } from "../shell/overlay.ts";
import { lacks } from "../state/rights.ts";
import { toast } from "../state/toasts.ts";
import { placeProject } from "../state/workspace.ts";
import "./policy.css";

const Editor = lazy(() => import("../files/Editor.tsx"));
const FILE = ".kaged/project.yaml";
const PAUSE_MS = 350;

type Checked = Pick<Project, "problems" | "cage">;

/** The project file as YAML: tried while it is written, and what it would mean in words beside it. */
export function ProjectFile({ project }: { project: Project }): ReactNode {
  const { slug, hash } = project;
  const lacking = lacks(project, "owner");
  const [seen, setSeen] = useState<string | null>(null);
  const [text, setText] = useState("");
  const [checked, setChecked] = useState<Checked>(project);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const written = useRef("");
  const changed = seen !== null && text !== seen;

  const open = useCallback(async (): Promise<void> => {
    try {
      const found = (await api.projectFiles(slug)).files.find(({ path }) => path === FILE)?.text ?? "";
      setSeen(found);
      setText(found);
      setProblem(null);
    } catch (error) {
      setProblem(sentence(error));
    }
  }, [slug]);
  // What is being written stays when the file changes elsewhere; saving then says so.
  useEffect(() => {
    if (written.current === "") void open();
  }, [open, hash]);
  useEffect(() => {
    written.current = changed ? text : "";
    if (!changed) {
      setChecked(project);
      return undefined;
    }
    let late = false;
    const timer = setTimeout(() => {
      api.checkProject(slug, text).then(
        (found) => late || setChecked(found),
        (error: unknown) => late || setChecked({ problems: [sentence(error)], cage: null }),
      );
    }, PAUSE_MS);
    return () => {
      late = true;
      clearTimeout(timer);
    };
  }, [slug, text, changed, project]);

  const save = async (): Promise<void> => {
    if (!changed || seen === null || checked.problems.length > 0) return;
    setBusy(true);
    try {
      placeProject(await api.writeProject(slug, text, seen));
      setSeen(text);
      setProblem(null);
      toast(t("policy:saved"));
      overlay.set({ kind: "trust", slug });
    } catch (error) {
      setProblem(sentence(error));
    } finally {
      setBusy(false);
    }
  };

  return (
    <section className="policy-file" aria-label={t("policy:file")}>
      <div className="notice-line">
        <h2 className="page-title grow">{t("policy:file")}</h2>
        {changed ? (
          <Button small onClick={() => setText(seen)}>
            {t("policy:undo")}
          </Button>
        ) : null}
        <Button
          small
          look="primary"
          busy={busy}
          disabled={!changed || checked.problems.length > 0 || lacking !== null}
          title={lacking ?? undefined}
          onClick={() => void save()}
        >
          {t("policy:save")}
        </Button>
      </div>
      {problem === null ? null : (
        <Notice tone="bad">
          <div className="notice-line">
            <span className="grow">
              <Sentence text={problem} />
            </span>
            <Button small onClick={() => void open()}>
              {t("policy:again")}
            </Button>
          </div>
        </Notice>
      )}
      {seen === null && problem === null ? <Skeleton lines={8} /> : null}
      {seen === null ? null : (
        <div className="policy-halves">
          <div className="card policy-text">
            <Suspense fallback={<Skeleton lines={8} />}>
              <Editor calm path={FILE} text={text} onChange={lacking === null ? setText : undefined} onSave={() => void save()} />
            </Suspense>
          </div>
          <Meaning checked={checked} />
        </div>
      )}
    </section>
  );
}

/** What the text means, or why it means nothing. */
function Meaning({ checked: { problems, cage } }: { checked: Checked }): ReactNode {
  return (
    <div className="policy-meaning" role="status" data-testid="policy-check" data-ok={problems.length === 0}>
      {problems.length > 0 ? (
        <Notice tone="bad">
          {t("policy:problems", { count: problems.length })}
          <ul className="problems">
            {problems.map((each) => (
              <li key={each}>
                <Sentence text={each} />
              </li>
            ))}
          </ul>
        </Notice>
      ) : (
        <p className="policy-good">
          <CheckIcon size={15} aria-hidden /> {cage?.words ?? t("policy:noCage")}
        </p>
      )}
      <ul className="policy-words">
        {(cage?.explain ?? []).map((line) => (
          <li key={line}>
            <Sentence text={line} />
          </li>
        ))}
      </ul>
    </div>
  );
}
