import type { ReactNode } from "react";
import { QuestionIcon } from "../design/icons.tsx";
import { Empty } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { linkTo } from "../state/router.ts";

export function Lost({ path }: { path: string }): ReactNode {
  return (
    <>
      <Header title={t("shell:missing_title")} />
      <Empty icon={<QuestionIcon size={26} />} title={t("shell:missing")} words={t("shell:missing_words", { path })}>
        <a className="button primary" {...linkTo({ page: "home" })}>{t("shell:go_home")}</a>
      </Empty>
    </>
  );
}
