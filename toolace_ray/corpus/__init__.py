"""From accepted dialogs to files that trainers read."""
