import type { ReactNode } from "react";
import { QuestionIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { Sentence } from "../design/Sentence.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { linkTo } from "../state/router.ts";

export function Lost({ path, onMenu }: { path: string; onMenu: () => void }): ReactNode {
  return (
    <>
      <Header title={t("shell:missing_title")} onMenu={onMenu} />
      <Empty icon={<QuestionIcon size={26} />} title={t("shell:missing")}>
        <p>
          <Sentence text={t("shell:missing_words", { path })} />
        </p>
        <a className="button primary" {...linkTo({ page: "home" })}>
          {t("shell:go_home")}
        </a>
      </Empty>
    </>
  );
}
