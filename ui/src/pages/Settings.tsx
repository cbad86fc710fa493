import { type ComponentType, lazy, type ReactNode, Suspense } from "react";
import type { Me } from "../api/types.ts";
import { LockIcon } from "../design/icons.tsx";
import { Empty, Skeleton } from "../design/parts.tsx";
import { t } from "../i18n/index.ts";
import { Header } from "../shell/Header.tsx";
import { pathOf, type Section, SECTIONS } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { me } from "../state/workspace.ts";
import { Lost } from "./Lost.tsx";
import { Strip } from "./Strip.tsx";

interface Entry {
  content: ComponentType;
  /** Only for admins of this kaged. */
  admin?: true;
}

/** The sections that there are; a line adds one. */
const CONTENT: { readonly [section in Section]?: Entry } = {
  models: { content: lazy(() => import("./Models.tsx")), admin: true },
  appearance: { content: lazy(() => import("./settings/Appearance.tsx")) },
  notifications: { content: lazy(() => import("./settings/Notifications.tsx")) },
  browsers: { content: lazy(() => import("./settings/Browsers.tsx")), admin: true },
  system: { content: lazy(() => import("./System.tsx")), admin: true },
  about: { content: lazy(() => import("./settings/About.tsx")) },
};

function sectionsOf(self: Me | null): Section[] {
  return SECTIONS.filter((name) => CONTENT[name] !== undefined && (self?.role === "admin" || CONTENT[name].admin !== true));
}

export default function SettingsPage({ section, onMenu }: { section: Section | undefined; onMenu: () => void }): ReactNode {
  const mine = sectionsOf(useStore(me));
  const shown = section ?? mine[0] ?? "about";
  const entry = CONTENT[shown];
  if (entry === undefined) return <Lost path={pathOf({ page: "settings", section: shown })} onMenu={onMenu} />;
  return (
    <>
      <Header title={t("places:page.settings")} onMenu={onMenu} />
      <Strip
        label={t("places:page.settings")}
        items={mine}
        current={shown}
        words={(item) => t(`places:section.${item}`)}
        placeOf={(item) => ({ page: "settings", section: item })}
      />
      <div className="page" tabIndex={0} key={shown}>
        <div className="page-column">
          {mine.includes(shown) ? (
            <Suspense fallback={<Skeleton lines={5} />}>
              <entry.content />
            </Suspense>
          ) : (
            <Empty icon={<LockIcon size={26} />} title={t("settings:adminsOnly")}>
              <p>{t("settings:adminsOnlyWhy")}</p>
            </Empty>
          )}
        </div>
      </div>
    </>
  );
}
