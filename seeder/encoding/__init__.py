"""Further formats of a lossless album, made with ffmpeg."""
