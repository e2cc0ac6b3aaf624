"""What one trial does: an unlearning fine-tune that reports at each rung."""
