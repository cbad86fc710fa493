import { type ReactNode, useCallback, useEffect, useState } from "react";
import { api } from "../api/client.ts";
import { sentence } from "../api/http.ts";
import type { ProjectFiles } from "../api/types.ts";
import { Button } from "../design/Button.tsx";
import { CodeBlock } from "../design/CodeBlock.tsx";
import { Dialog } from "../design/Dialog.tsx";
import { DiffView } from "../design/DiffView.tsx";
import { Notice, Skeleton } from "../design/parts.tsx";
import { lacks } from "../state/rights.ts";
import { useStore } from "../state/store.ts";
import { toast } from "../state/toasts.ts";
import { findProject, placeProject, refreshProjects, workspace } from "../state/workspace.ts";
import { parseDiff } from "../text/diff.ts";
import { languageOf } from "../text/spans.ts";
import { Sentence } from "../design/Sentence.tsx";

/** What trust covers, to be read before it is given. Trust names the content: if that changes, it is asked again. */
export function TrustReview({ slug, onClose }: { slug: string; onClose: () => void }): ReactNode {
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
      toast(`${slug} is trusted. Its agent may run.`);
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
      <Button onClick={onClose}>Not now</Button>
      <Button
        look="primary"
        busy={busy}
        disabled={files === null || !project?.hash || lacking !== null}
        title={lacking ?? undefined}
        onClick={() => void trust()}
      >
        Trust this content
      </Button>
    </>
  );
  return (
    <Dialog wide title={`Review ${slug}`} onClose={onClose} foot={foot}>
      <p>
        {project?.trust === "changed"
          ? "These files changed since they were trusted. Nothing runs until you have looked at them."
          : "These files decide what the agent is told and what its cage allows. Read them before it may run."}
      </p>
      {problem === null ? null : (
        <Notice tone="bad">
          <Sentence text={problem} />
        </Notice>
      )}
      {files === null && problem === null ? <Skeleton lines={6} /> : null}
      {files?.diff ? parseDiff(files.diff).map((file) => <DiffView key={file.path} file={file} />) : null}
      {files?.files.map((file) => (
        <section key={file.path} className="review-file">
          <h3 className="mono">{file.path}</h3>
          <CodeBlock text={file.text} language={languageOf(file.path)} />
        </section>
      ))}
    </Dialog>
  );
}
