import { createTwoFilesPatch } from "diff";
import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { ProjectFiles } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { DiffView } from "../design/DiffView.tsx";
import { Badge, Notice, Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast } from "../state/toasts.ts";
import { findProject, placeProject, refreshProjects, workspace } from "../state/workspace.ts";
import { type FileDiff, parseDiff } from "../text/diff.ts";
import { languageOf } from "../text/spans.ts";
import { Sentence } from "../design/Sentence.tsx";

type Reviewed = ProjectFiles["files"][number];

function changeOf({ text, trusted }: Reviewed): "same" | "changed" | "new" | "gone" {
  if (text === trusted) return "same";
  return trusted === null ? "new" : text === null ? "gone" : "changed";
}

function difference({ path, text, trusted }: Reviewed): FileDiff[] {
  return parseDiff(createTwoFilesPatch(`a/${path}`, `b/${path}`, trusted ?? "", text ?? "", "", "", { context: 4 }));
}

/** What trust covers, to be read before it is given. Trust names the content: if that changes, it is asked again. */
export default function TrustReview({ slug, onClose }: { slug: string; onClose: () => void }): ReactNode {
  const project = findProject(useStore(workspace), slug);
  const lacking = lacks(project, "owner");
  const [files, setFiles] = useState<ProjectFiles | null>(null);
  const [problem, setProblem] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);

  const look = useCallback(async (): Promise<void> => {
    try {
      await refreshProjects();
      setFiles(await api.projectFiles(slug));
    } catch (error) {
      setProblem(sentence(error));
    }
  }, [slug]);
  useEffect(() => void look(), [look]);

  const trust = async (): Promise<void> => {
    setBusy(true);
    setProblem(null);
    try {
      placeProject(await api.trustProject(slug, project?.hash ?? ""));
      toast(t("trust:done", { slug }));
      onClose();
    } catch (error) {
      setProblem(sentence(error));
      await look();
    } finally {
      setBusy(false);
    }
  };

  const foot = (
    <>
      <Button onClick={onClose}>{t("trust:notNow")}</Button>
      <Button
        look="primary"
        busy={busy}
        disabled={files === null || !project?.hash || lacking !== null}
        title={lacking ?? undefined}
        onClick={() => void trust()}
      >
        {t("trust:trust")}
      </Button>
    </>
  );
  return (
    <Dialog wide title={t("trust:title", { slug })} onClose={onClose} foot={foot}>
      <p>
        {project?.trust === "changed"
          ? t("trust:changed")
          : t("trust:first")}
      </p>
      {problem === null ? null : (
        <Notice tone="bad">
          <Sentence text={problem} />
        </Notice>
      )}
      {files === null && problem === null ? <Skeleton lines={6} /> : null}
      {files?.files.map((file) => (
        <section key={file.path} className="review-file">
          <h3 className="mono">
            {file.path} <Badge tone={changeOf(file) === "same" ? null : "accent"}>{t(`trust:change.${changeOf(file)}`)}</Badge>
          </h3>
          {changeOf(file) === "same" || file.trusted === null ? (
            <CodeBlock text={file.text ?? ""} language={languageOf(file.path)} />
          ) : (
            difference(file).map((part) => <DiffView key={part.path} file={part} />)
          )}
        </section>
      ))}
    </Dialog>
  );
}
