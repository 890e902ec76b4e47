"""What the database itself refuses, whoever asks: ``tables`` has the rules of each. [pure]"""
