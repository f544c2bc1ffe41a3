#![cfg_attr(fuzzing, no_main)]

touchtone_fuzz::target!(media_frames);
