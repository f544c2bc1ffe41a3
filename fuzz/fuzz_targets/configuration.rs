#![cfg_attr(fuzzing, no_main)]

touchtone_fuzz::target!(configuration);
