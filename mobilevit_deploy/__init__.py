"""MobileViT on phones: export, prove parity, measure."""
