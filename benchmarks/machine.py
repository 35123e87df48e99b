def main(full): pass
