#![cfg_attr(fuzzing, no_main)]

touchtone_fuzz::target!(gateway_answers);
