"""Prints the requirements of an extra of setup.cfg, so that they can be installed apart from the project."""

import configparser
import sys

parser = configparser.ConfigParser()
parser.read("setup.cfg", encoding="utf-8")
sys.stdout.write(parser["options.extras_require"][sys.argv[1]].strip() + "\n")
