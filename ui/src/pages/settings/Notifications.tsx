export { NotificationSettings as default } from "../../notifications/NotificationSettings.tsx";
