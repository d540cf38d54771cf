# Writes FILES into one C file, as arrays of bytes: ps_scenario_texts of scenario_file.h.
set(arrays "")
set(rows "")
set(index 0)
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND arrays "static const char text_${index}[] = {${bytes}'\\0'};\n")
  string(APPEND rows "    {\"${name}\", text_${index}, sizeof(text_${index}) - 1},\n")
  math(EXPR index "${index} + 1")
endforeach()
file(WRITE ${OUT} "/* Written by proxy/simulate/embed.cmake from sim/scenarios. */\n#include \"scenario_file.h\"\n\n"
  "${arrays}\nconst struct ps_scenario_text ps_scenario_texts[] = {\n${rows}};\n"
  "const size_t ps_scenario_text_count = ${index};\n")
