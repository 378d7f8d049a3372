"""Has verification codes delivered to customers' e-mail addresses."""
