import { type ComponentType, lazy, type ReactNode, Suspense } from "react";
import type { Me } from "../api/types.ts";
import { LockIcon } from "../design/icons.tsx";
import { Empty, Skeleton } from "../design/parts.tsx";
import { Strip } from "../design/Strip.tsx";
import { t } from "../i18n/index.ts";
import { Frame } from "../shell/Frame.tsx";
import { type Section, SECTIONS } from "../state/router.ts";
import { useStore } from "../state/store.ts";
import { me } from "../state/workspace.ts";

interface Entry {
  content: ComponentType;
  /** Only for admins of this kaged. */
  admin?: true;
}

/** Every section has its line here. */
const CONTENT: { readonly [section in Section]: Entry } = {
  models: { content: lazy(() => import("./Models.tsx")), admin: true },
  appearance: { content: lazy(() => import("./settings/Appearance.tsx")) },
  notifications: { content: lazy(() => import("./settings/Notifications.tsx")) },
  browsers: { content: lazy(() => import("./settings/Browsers.tsx")), admin: true },
  system: { content: lazy(() => import("./System.tsx")), admin: true },
  about: { content: lazy(() => import("./settings/About.tsx")) },
};

function sectionsOf(self: Me | null): Section[] {
  return SECTIONS.filter((name) => self?.role === "admin" || CONTENT[name].admin !== true);
}

export default function SettingsPage({ section }: { section: Section | undefined }): ReactNode {
  const mine = sectionsOf(useStore(me));
  const shown = section ?? mine[0] ?? "about";
  const Content = CONTENT[shown].content;
  const strip = (
    <Strip label={t("places:page.settings")} items={mine} current={shown} words={(item) => t(`places:section.${item}`)}
      placeOf={(item) => ({ page: "settings", section: item })} />
  );
  return (
    <Frame part={shown} title={t("places:page.settings")} strip={strip}>
      {mine.includes(shown) ? <Suspense fallback={<Skeleton lines={5} />}><Content /></Suspense> : (
        <Empty icon={<LockIcon size={26} />} title={t("settings:adminsOnly")} words={t("settings:adminsOnlyWhy")} />
      )}
    </Frame>
  );
}
