import type { ReactNode } from "react";
import { Button } from "../../design/Button.tsx";
import { Facts } from "../../design/Facts.tsx";
import { CageIcon } from "../../design/icons.tsx";
import { Sentences } from "../../design/Sentence.tsx";
import { t } from "../../i18n/index.ts";
import { ProjectFile } from "../../policy/ProjectFile.tsx";
import { overlay } from "../../shell/overlay.ts";
import { withinProject } from "../../text/paths.ts";
import { ProjectNetworkSection } from "../ProjectNetwork.tsx";
import type { TabProps } from "../ProjectPage.tsx";

/** What the agent may do here, in words: its model, its cage, its network; and the files that say so. */
export default function Policy({ project }: TabProps): ReactNode {
  const model = project.route?.label ?? project.model ?? t("project:policy.noModel");
  const cage = (
    <>
      <span className="fact-cage"><CageIcon size={15} /> {project.cage?.words ?? t("project:policy.noCage")}</span>
      <Sentences of={(project.cage?.explain ?? []).map((line) => withinProject(line, project.path))} />
    </>
  );
  const trust = (
    <div className="notice-line">
      <span className="grow">{t(`project:policy.${project.trust}`)}</span>
      <Button small onClick={() => overlay.set({ kind: "trust", slug: project.slug })}>{t("project:reviewFiles")}</Button>
    </div>
  );
  return (
    <>
      {project.description ? <p className="lead">{project.description}</p> : null}
      <Facts rows={[[t("project:policy.model"), model], [t("project:policy.cage"), cage], [t("project:policy.trust"), trust]]} />
      <ProjectNetworkSection project={project} />
      <ProjectFile project={project} />
    </>
  );
}
