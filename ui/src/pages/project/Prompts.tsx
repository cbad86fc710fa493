import type { ReactNode } from "react";
import { api } from "../../api/client.ts";
import { CodeBlock } from "../../design/CodeBlock.tsx";
import { useLoaded } from "../../design/loaded.ts";
import { Sentence } from "../../design/Sentence.tsx";
import { StateView } from "../../design/StateView.tsx";
import { t } from "../../i18n/index.ts";
import type { TabProps } from "../ProjectPage.tsx";

/** What the agents are told, as trust covers it: every prompt file that the project file names. */
export default function Prompts({ project }: TabProps): ReactNode {
  const held = useLoaded(async () => {
    const { files } = await api.projectFiles(project.slug);
    return files.filter(({ path }) => !/\.kaged\/project(\.local)?\.yaml$/.test(path));
  }, `${project.slug} ${project.hash}`);
  return (
    <>
      <p className="muted"><Sentence text={t("project:prompts.about")} /></p>
      <StateView of={held} empty={<p className="muted">{t("project:prompts.none")}</p>}>
        {(files) =>
          files.map(({ path, text }) => (
            <section key={path} className="prompt" aria-label={path}>
              <h2 className="mono">{path}</h2>
              <CodeBlock text={text ?? ""} language="markdown" />
            </section>
          ))
        }
      </StateView>
    </>
  );
}
